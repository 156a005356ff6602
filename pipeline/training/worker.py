"""A process that trains: alone when called as a function, one of several as a module.

python -m torch.distributed.run --nproc-per-node=4 -m pipeline.training.worker FOLDER
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch.distributed as dist

from pipeline.encoder.transformer import load_backbone
from pipeline.errors import AngleAdaptError
from pipeline.settings import Home
from pipeline.training import saving
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.dev import DevScore
from pipeline.training.fit import Trainer, checked, dtype
from pipeline.training.job import ERROR, JOB, MODEL, SUMMARY, Job


def train_here(given: Job, out: Path) -> dict[str, Any]:
    """Train in this process; the first of several writes the model directory ``out``."""
    checked(given.pairs, given.train)  # before a large model is loaded
    home, precision = Home(given.home), dtype(given.train)
    encoder = load_backbone(given.encoder, home, precision, quantization=given.train.quantization)
    checkpoints = Checkpoints(given.checkpoints)
    trainer = Trainer(encoder, given.pairs, given.train, checkpoints)
    if given.train.processes > 1:
        trainer.step_done = lambda _: _end_with(given.parent)
    trainer.run(DevScore(trainer, given.dev) if given.dev else None)
    seen, world = saving.probed(trainer), trainer.gradient.world
    if world.first:
        out.mkdir(parents=True, exist_ok=True)
        saving.save(trainer, out, seen)
        checkpoints.clear()
    world.wait()
    return saving.summary(trainer)


def _end_with(parent: int) -> None:
    """End this process when the one that waits for it is gone: a killed run leaves none behind."""
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        sys.exit(1)


def main(folder: Path) -> int:
    """Run the job in ``folder``; return the exit code."""
    given = Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
    first = os.environ.get("RANK", "0") == "0"  # set by torchrun
    warnings.simplefilter("ignore")  # what libraries tell their developers
    if first:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    else:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    try:
        summary = train_here(given, folder / MODEL)
    except AngleAdaptError as error:
        if first:
            told = {"kind": type(error).__name__, "message": str(error)}
            (folder / ERROR).write_text(json.dumps(told), encoding="utf-8")
        return 1
    if first:
        (folder / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
