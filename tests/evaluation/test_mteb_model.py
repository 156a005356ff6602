"""What MTEB is told of a model, and what it gets from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import TransformerEncoder, load_backbone
from pipeline.errors import InputError
from pipeline.evaluation.mteb_model import MtebModel, describe, model_name
from pipeline.settings import home
from tests.evaluation.mteb_sets import Hashed

TEMPLATE = 'Summarize "{text}":"'


@pytest.fixture
def encoder(tiny_backbone: Path) -> TransformerEncoder:
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template=TEMPLATE, pooling="last", max_length=24
    )
    return load_backbone(spec, home())


def test_it_is_described_by_what_is_known_of_it(encoder: TransformerEncoder) -> None:
    meta = describe(encoder, "my-model", "acme/base")
    assert meta.name == "local/my-model"
    assert meta.revision == encoder.identity
    assert (meta.embed_dim, meta.max_tokens) == (32, 24)
    assert meta.n_parameters == sum(p.numel() for p in encoder.model.parameters())
    assert meta.n_active_parameters == meta.n_parameters - encoder.model.embed_tokens.weight.numel()
    assert meta.memory_usage_mb is not None
    assert meta.memory_usage_mb > 0
    assert meta.use_instructions is True
    assert meta.adapted_from == "acme/base"
    for unknown in ("training_datasets", "languages", "license", "open_weights", "release_date"):
        assert getattr(meta, unknown) is None


def test_an_encoder_of_any_kind_is_taken() -> None:
    meta = describe(Hashed("vectors of\nsome/service"), "a/b")
    assert (meta.name, meta.n_parameters, meta.max_tokens) == ("a/b", None, None)
    assert meta.use_instructions is None
    assert meta.revision is not None
    assert meta.revision.isalnum()


def test_mteb_takes_it_for_an_encoder(encoder: TransformerEncoder) -> None:
    from mteb import CrossEncoderProtocol, EncoderProtocol, SearchProtocol  # noqa: PLC0415

    model = MtebModel(encoder, "tiny")
    assert isinstance(model, EncoderProtocol)
    assert not isinstance(model, CrossEncoderProtocol | SearchProtocol)


def test_its_vectors_and_similarities_are_the_encoders(encoder: TransformerEncoder) -> None:
    texts = ["Open a file.", "Sort a list of numbers.", "Open a file.", ""]
    model, batches = MtebModel(encoder, "tiny"), [{"text": texts[:3]}, {"text": texts[3:]}]
    task = SimpleNamespace(name="a task")
    found = model.encode(batches, task_metadata=task, hf_split="test", hf_subset="default")
    expected = encoder.encode(texts)
    assert np.array_equal(found, expected)
    table = model.similarity(expected, expected)
    assert table.shape == (4, 4)
    assert np.allclose(np.diag(table), 1, atol=1e-6)
    assert np.allclose(model.similarity_pairwise(expected, expected[::-1]), np.diag(table[:, ::-1]))
    with pytest.raises(InputError, match="a task asks for image"):
        model.encode([{"image": []}], task_metadata=task, hf_split="test", hf_subset="default")


@given(st.text(max_size=20))
def test_a_name_is_always_an_organisation_and_a_folder(name: str) -> None:
    organisation, slash, rest = model_name(name).partition("/")
    assert slash
    for part in (organisation, rest):
        assert part
        assert not set(part) & set('/\\:*?"<>| \n\x00')
        assert not part.startswith(".")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("acme/model-1.5", "acme/model-1.5"),
        ("/data/models/mine", "local/mine"),
        ("my model", "local/my-model"),
        ("../mine", "local/mine"),
        ("", "local/model"),
    ],
)
def test_names_people_give(name: str, shown: str) -> None:
    assert model_name(name) == shown
