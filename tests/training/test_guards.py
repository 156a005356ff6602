"""What goes wrong while training stops it at once or is got over; nothing broken is saved."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.errors import InputError, ResourceError
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.examples import Example
from pipeline.training.fit import NOT_FINITE, Trainer
from pipeline.training.gradients import Memory, out_of_memory

STARVING = Path(__file__).with_name("starving.py")


def trainer(tiny: Path, folder: Path, **changed: object) -> Trainer:
    spec = EncoderSpec(backbone=str(tiny), template="{text}", pooling="mean", max_length=32)
    pairs = [Example(f"open file {i}", f"read socket {i}", i % 3 / 2) for i in range(24)]
    settings = {"epochs": 2, "batch_pairs": 6, "checkpoint_seconds": 0, "lora_depth": 0.5}
    encoder = load_backbone(spec, Home(folder), torch.float32)
    keep = Checkpoints(folder / "checkpoints")
    return Trainer(encoder, pairs, TrainSettings.model_validate(settings | changed), keep)


def spoil_text(run: Trainer) -> None:
    assert run.states._kept is not None
    run.states._kept[0].fill_(torch.nan)


def spoil_gradient(run: Trainer) -> None:
    weight = next(w for name, w in run.model.named_parameters() if "lora_B" in name)
    weight.register_hook(lambda gradient: gradient * torch.inf)


def spoil_weight(run: Trainer) -> None:
    step = run.optimizer.step

    def broken() -> None:
        step()
        weight = next(w for name, w in run.model.named_parameters() if "lora_A" in name)
        weight.data[0, 0] = torch.inf

    run.optimizer.step = broken  # type: ignore[method-assign,assignment]


def spoil_loss(run: Trainer) -> None:
    terms = run.gradient.objective.terms
    run.gradient.objective.terms = lambda batch: {  # type: ignore[method-assign]
        name: term * torch.inf for name, term in terms(batch).items()
    }


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_text, "loss"),
        (spoil_loss, "loss"),
        (spoil_gradient, "gradient norm"),
        (spoil_weight, "largest weight"),
    ],
)
def test_what_is_not_finite_stops_within_the_step_and_saves_nothing(
    tiny_backbone: Path, tmp_path: Path, spoil: Callable[[Trainer], None], named: str
) -> None:
    run = trainer(tiny_backbone, tmp_path)
    seen: list[int] = []

    def after(step: int) -> None:
        seen.append(step)
        if step == 3:
            spoil(run)

    run.step_done = after
    with pytest.raises(InputError, match=rf"not finite at step \d: .*{named}.*lower train\.learn"):
        run.run()
    assert seen[:3] == [1, 2, 3]
    assert len(seen) < run.total_steps
    assert run.checkpoints is not None
    kept = run.checkpoints.newest()
    assert kept is not None
    assert kept.step == seen[-1]
    for file in (tmp_path / "checkpoints").glob("step-*"):
        step = Checkpoints(file.parent).newest()
        assert step is not None
        assert all(torch.isfinite(value).all() for value in step.tensors.values())
    told = json.loads((tmp_path / "checkpoints" / NOT_FINITE).read_text())
    assert told["step"] == seen[-1] + 1
    assert len(told["pairs"]) == 6
    if spoil is spoil_text:
        assert any("open file 0" in pair for pair in told["pairs"])


def starved(backbone: Path, folder: Path, allowed: int) -> dict[str, Any]:
    command = [sys.executable, str(STARVING), str(backbone), str(folder), str(allowed)]
    root = STARVING.parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
def test_out_of_memory_goes_on_with_less_at_a_time_and_the_same_batch(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    found = starved(tiny_backbone, tmp_path, 40)
    assert found["steps"] == 2
    assert found["chunk_tokens"] < 16_384  # it did run out
    assert found["moved"] > 1e-4
    assert found["difference"] < 1e-5  # of a run that began with little


def test_a_single_text_that_does_not_fit_is_told() -> None:
    memory = Memory(chunk_tokens=64, graph_tokens=128)
    with pytest.raises(ResourceError, match=r"one text of 40 tokens .* encoder\.max_length"):
        for _ in range(9):
            memory.halve(longest=40)
    assert memory.chunk_tokens < 40


def test_only_failed_allocations_count_as_out_of_memory() -> None:
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
