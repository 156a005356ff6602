"""Batches of texts of like length: none too large, little padding, one common start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoder import transformer
from pipeline.encoder.batches import WASTE, by_length, common_start
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import TransformerEncoder, load_backbone
from pipeline.settings import Home

LENGTHS = st.lists(st.integers(1, 90), max_size=60)


@given(lengths=LENGTHS, most=st.integers(1, 200))
def test_every_text_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], most: int
) -> None:
    batches = list(by_length(lengths, most))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert lengths[batch[0]] == longest
        assert len(batch) * longest <= most or len(batch) == 1
        assert sum(longest - lengths[index] for index in batch) <= WASTE


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=6))
def test_the_common_start_is_the_longest_that_leaves_every_row_a_token(
    rows: list[list[int]],
) -> None:
    found = common_start(rows)
    longest = min((len(row) for row in rows), default=1) - 1
    assert 0 <= found <= longest
    assert len({tuple(row[:found]) for row in rows}) <= 1
    if found < longest:
        assert len({tuple(row[: found + 1]) for row in rows}) > 1


@pytest.mark.parametrize("how", ["eager", "sdpa"])
def test_a_start_that_is_run_once_gives_the_vectors_of_whole_rows(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template="Return the size of {text} in bytes",
        pooling="last", max_length=32,
    )  # fmt: skip
    encoder = load_backbone(spec, Home(tmp_path), torch.float32)
    encoder.model.set_attn_implementation(how)
    texts = [f"the list of {'numbers ' * (index % 7)} and file {index}" for index in range(40)]
    assert common_start(encoder.token_ids(texts)) >= 3
    runs = forwards(encoder)
    shared = encoder.encode(texts)
    assert runs[0] == 1  # the start, alone
    monkeypatch.setattr(transformer, "WORTH", len(texts) + 1)
    runs.clear()
    whole = encoder.encode(texts)
    assert np.abs(shared - whole).max() < 1e-6
    assert runs[0] > 1


def forwards(encoder: TransformerEncoder) -> list[int]:
    """Return a list that the sizes of the batches are added to as they run."""
    sizes: list[int] = []

    def note(_: torch.nn.Module, __: tuple[object, ...], given: dict[str, torch.Tensor]) -> None:
        sizes.append(len(given["input_ids"]))

    encoder.model.register_forward_pre_hook(note, with_kwargs=True)
    return sizes


@pytest.mark.parametrize(("pooling", "attention"), [("mean", "native"), ("last", "bidirectional")])
def test_a_start_whose_tokens_are_read_or_see_what_follows_is_not_run_apart(
    tiny_backbone: Path, tmp_path: Path, pooling: str, attention: str
) -> None:
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template="Return the size of {text}", max_length=32,
        pooling=pooling, attention=attention,
    )  # fmt: skip
    encoder = load_backbone(spec, Home(tmp_path), torch.float32)
    runs = forwards(encoder)
    encoder.encode([f"file {index}" for index in range(40)])
    assert runs[0] > 1
