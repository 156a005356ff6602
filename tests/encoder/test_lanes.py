"""Batches side by side: the same results in the same order, and torch left as it was."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoder import transformer
from pipeline.encoder.lanes import lanes_of, side_by_side
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.sections import EncoderSettings
from pipeline.settings import Home

WORDS = ("open", "close", "read", "the", "file", "socket", "list", "of", "numbers")
TEXTS = [" ".join(WORDS[: 1 + index % 9]) + f" {index}" for index in range(60)]


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_every_batch_comes_back_in_order_with_what_was_made_of_it(lanes: int) -> None:
    assert list(side_by_side(range(20), lambda n: n * n, lanes)) == [(n, n * n) for n in range(20)]
    assert list(side_by_side([], str, lanes)) == []


def test_batches_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)
    assert dict(side_by_side([1, 2], lambda n: both.wait() >= 0 and n, 2)) == {1: 1, 2: 2}


def test_inside_a_lane_torch_has_one_thread_and_no_gradients() -> None:
    before = torch.get_num_threads()

    def look(_: int) -> tuple[int, bool]:
        return torch.get_num_threads(), torch.is_inference_mode_enabled()

    assert [found for _, found in side_by_side(range(4), look, 2)] == [(1, True)] * 4
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("mixed", [False, True])
def test_a_lane_has_the_precision_of_its_caller(*, mixed: bool) -> None:
    one = torch.ones(4, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        found = {product.dtype for _, product in side_by_side([one] * 4, lambda x: x @ one, 2)}
    assert found == {torch.bfloat16 if mixed else torch.float32}


def test_what_fails_in_a_lane_is_raised_and_ends_the_others() -> None:
    before = torch.get_num_threads()

    def fail(number: int) -> int:
        if number == 3:
            message = "batch 3"
            raise ValueError(message)
        return number

    with pytest.raises(ValueError, match="batch 3"):
        list(side_by_side(range(100), fail, 2))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_vectors_do_not_depend_on_the_lanes(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    spec = EncoderSpec.of(
        EncoderSettings(backbone=str(tiny_backbone), max_length=24, pooling=pooling)
    )
    encoder = load_backbone(spec, Home(tmp_path), torch.float32)
    found = []
    for lanes in (1, 2, 3):
        monkeypatch.setattr(transformer, "lanes_of", lambda *_, lanes=lanes: lanes)
        found.append(encoder.encode(TEXTS, label=""))
    assert np.abs(found[0] - found[1]).max() < 1e-6
    assert np.abs(found[0] - found[2]).max() < 1e-6


def test_a_processor_has_a_lane_a_thread_and_a_gpu_one() -> None:
    assert lanes_of(torch.device("cpu"), 10_000) == torch.get_num_threads()
    assert lanes_of(torch.device("cpu"), 20) == 1
    assert lanes_of(torch.device("cuda"), 10_000) == 1
