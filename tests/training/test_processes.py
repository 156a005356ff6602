"""Two processes are one: equal weights, those of one process with the same batch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.encoder.spec import EncoderSpec
from pipeline.errors import InputError
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training import job
from pipeline.training.examples import Example

SETTINGS = TrainSettings(
    epochs=2, batch_pairs=12, learning_rate=1e-3, lora_depth=0.5, chunk_tokens=64,
    graph_tokens=64, positive_threshold=0.75, evaluations=2,
    precision="float32",  # in bfloat16 the order of sums shows
)  # fmt: skip


def pairs() -> list[Example]:
    words = ("file", "socket", "list", "number", "folder", "size")
    scored = [
        Example(f"Open the {a} and read", f"Sort every {b} by size", (i * j % 5) / 4)
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]
    return [*scored, Example("Remove the folder", "Delete a directory", math.nan)]


def trained(backbone: Path, folder: Path, name: str, **changed: object) -> dict[str, torch.Tensor]:
    spec = EncoderSpec(backbone=str(backbone), template='"{text}":"', pooling="last", max_length=32)
    settings = SETTINGS.model_copy(update=changed)
    given = job.job(spec, settings, pairs(), pairs()[:9], Home(folder / "home"))
    summary = job.train(given, folder / name)
    assert summary["steps"] == 6
    assert not given.checkpoints.exists()
    return load_file(folder / name / "adapter_model.safetensors")


@pytest.mark.timeout(300)
def test_two_processes_end_with_the_weights_of_one(tiny_backbone: Path, tmp_path: Path) -> None:
    one = trained(tiny_backbone, tmp_path, "one")
    two = trained(tiny_backbone, tmp_path, "two", processes=2)
    assert one.keys() == two.keys()
    largest = max(float((one[name] - two[name]).abs().max()) for name in one)
    moved = max(float(one[name].abs().max()) for name in one if "lora_B" in name)
    assert moved > 1e-3
    assert largest < 1e-5


@pytest.mark.timeout(300)
def test_processes_that_share_the_frozen_weights_end_with_the_same(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    changed = {"lora_depth": 1.0, "chunk_tokens": 64, "graph_tokens": 100}
    one = trained(tiny_backbone, tmp_path, "one", **changed)
    two = trained(tiny_backbone, tmp_path, "two", processes=2, shard=True, **changed)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5


@pytest.mark.timeout(300)
def test_an_error_in_several_processes_is_told_as_in_one(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"train\.early_layers"):
        trained(tiny_backbone, tmp_path, "two", processes=2, early_layers=(1,))
    assert not (tmp_path / "two").exists()
