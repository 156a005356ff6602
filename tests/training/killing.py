"""Kills processes that train or write checkpoints, and looks at what is left; run as a program.

Everything is imported once and each victim is forked, so that a trial takes a second and not five.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a fork of a process with threads would hang

import torch

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training.checkpoints import Checkpoint, Checkpoints
from pipeline.training.examples import Example
from pipeline.training.fit import Trainer
from pipeline.training.state import copied

SETTINGS = TrainSettings(
    epochs=6, batch_pairs=6, learning_rate=3e-3, lora_depth=0.5, lora_dropout=0.2, evaluations=4,
    patience=99, graph_tokens=64, chunk_tokens=64, sampler="graded", checkpoint_seconds=0,
)  # fmt: skip


def pairs() -> list[Example]:
    words = ("file", "socket", "list", "number", "folder", "size")
    return [
        Example(f"Open the {a} and read", f"Sort every {b} by size", (i * j % 5) / 4)
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]


def digest(trainer: Trainer) -> str:
    content = hashlib.sha256()
    for name, value in sorted(copied(trainer.model).items()):
        content.update(name.encode() + value.numpy().tobytes())
    history = trainer.history
    curve = json.dumps([history.curve, history.dev_curve, history.gradient_norms])
    return content.hexdigest() + hashlib.sha256(curve.encode()).hexdigest()


def trained(backbone: str, folder: Path, told: Callable[[int], None]) -> str:
    spec = EncoderSpec(backbone=backbone, template='"{text}":"', pooling="last", max_length=32)
    encoder = load_backbone(spec, Home(folder), torch.float32)
    trainer = Trainer(encoder, pairs(), SETTINGS, Checkpoints(folder / "checkpoints"))
    trainer.step_done = told
    scores = {0: 0.3}

    def dev_score() -> float:  # any function of the weights will do
        weight = next(iter(copied(trainer.model).values()))
        return scores.setdefault(trainer.history.steps, float(weight.sum()) % 1)

    trainer.run(dev_score)
    return digest(trainer)


def forked(work: Callable[[Callable[[int], None]], str]) -> tuple[int, int]:
    """Start ``work`` in a process of its own; return its id and the end of a pipe to hear it."""
    hear, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, hear
    outcome = work(lambda step: void(os.write(tell, f"{step}\n".encode())))
    os.write(tell, f"{outcome}\n".encode())
    os._exit(0)


def void(_: int) -> None:
    """Take a number and do nothing with it."""


def resume_trial(backbone: str, folder: Path, dice: random.Random, steps: int) -> tuple[str, int]:
    """Train, killed at a random moment again and again; return what came out, and the kills."""
    kills, last = 0, 0
    while True:
        child, hear = forked(lambda told: trained(backbone, folder, told))
        stop = min(steps, last + dice.randint(1, steps // 2))
        with os.fdopen(hear) as stream:
            for line in stream:
                if not line.strip().isdigit():
                    os.waitpid(child, 0)
                    return line.strip(), kills
                last = int(line)
                if last == stop and stop < steps:
                    time.sleep(dice.random() * 0.03)  # anywhere within the next step
                    os.kill(child, signal.SIGKILL)
                    kills += 1
                    break
        os.waitpid(child, 0)


def write_trial(folder: Path, dice: random.Random) -> bool:
    """Kill a process while it writes a checkpoint; return whether an acknowledged one is left."""
    keep = Checkpoints(folder)

    def write(told: Callable[[int], None]) -> str:
        for step in range(1, 1000):
            tensors = {"weight": torch.full((500_000,), float(step))}
            told(-step)  # begins
            keep.save(Checkpoint(step, tensors, {"step": step}))
            told(step)
        return "end"

    child, hear = forked(write)
    began, done = 0, 0
    with os.fdopen(hear) as stream:
        for line in stream:
            began, done = max(began, -int(line)), max(done, int(line))
            if began == 3 and done == 2:
                time.sleep(dice.random() * 0.02)
                os.kill(child, signal.SIGKILL)
                break
    os.waitpid(child, 0)
    found = keep.newest()
    keep.clear()
    whole = found is not None and bool((found.tensors["weight"] == found.step).all())
    return whole and found is not None and found.step >= done


def main(what: str, folder: Path, trials: int, backbone: str = "") -> dict[str, object]:
    dice = random.Random(7)
    torch.set_num_threads(1)
    if what == "write":
        return {"whole": sum(write_trial(folder / "w", dice) for _ in range(trials))}
    steps: list[int] = []
    expected = trained(backbone, folder / "never-stopped", steps.append)
    found = [
        resume_trial(backbone, folder / f"trial-{number}", dice, len(steps))
        for number in range(trials)
    ]
    equal = sum(outcome == expected for outcome, _ in found)
    return {"equal": equal, "steps": len(steps), "kills": sum(kills for _, kills in found)}


if __name__ == "__main__":
    given = sys.argv[1:]
    outcome = main(given[0], Path(given[1]), int(given[2]), *given[3:])
    sys.stdout.write(json.dumps(outcome) + "\n")
