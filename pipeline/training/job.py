"""One training run from pairs to a model directory, in this process or in several."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict

from pipeline import errors
from pipeline.artifacts import stage_key
from pipeline.encoder import backbone
from pipeline.encoder.spec import EncoderSpec, spec_of
from pipeline.errors import AngleAdaptError, ResourceError
from pipeline.records import Record, ScoredTexts
from pipeline.sections import EncoderSettings, TrainSettings
from pipeline.settings import Home
from pipeline.training.examples import Example
from pipeline.training.subset import nested

# Files of a job's folder, by which its processes are told what to do and tell what came of it.
JOB: Final = "job.json"
MODEL: Final = "model"
SUMMARY: Final = "summary.json"
ERROR: Final = "error.json"

# What decides how a run goes and not what comes out of it.
_CIRCUMSTANCES: Final = {"processes", "checkpoint_seconds"}


class Job(Record):
    """Everything a training run is given."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a NaN score says "no grade"

    encoder: EncoderSpec
    train: TrainSettings
    home: Path
    checkpoints: Path
    pairs: tuple[Example, ...]
    dev: tuple[Example, ...]
    parent: int = 0  # the process that waits for it; its end ends the job


def spec_for(encoder: EncoderSettings, train: TrainSettings) -> EncoderSpec:
    """Return how texts become vectors; an adapter that is gone on with says what is not set."""
    if not train.start_from:
        return EncoderSpec.of(encoder)
    from pipeline.training.adapters import located  # noqa: PLC0415 - imports torch

    made = spec_of(located(train.start_from))
    names = ("template", "pooling", "attention")
    unset = {name: getattr(made, name) for name in names if getattr(encoder, name) is None}
    if "attention" in unset:
        unset["bidirectional_from"] = made.bidirectional_from
    return EncoderSpec.of(encoder.model_copy(update=unset))


def job(
    spec: EncoderSpec,
    settings: TrainSettings,
    pairs: Sequence[ScoredTexts],
    dev: Sequence[ScoredTexts],
    home: Home,
) -> Job:
    """Return the job; its checkpoints lie in a folder named by everything that decides its end."""
    pairs = nested(pairs, settings.share, settings.seed)
    plain = [
        tuple(Example(pair.sentence1, pair.sentence2, pair.score) for pair in given)
        for given in (pairs, dev)
    ]
    fingerprint = stage_key(
        "training run", 1,
        settings=settings.model_dump(exclude=_CIRCUMSTANCES), how=spec.model_dump(),
        weights=backbone.identity(spec.backbone, spec.revision),
        pairs=[[a, b, str(score)] for part in plain for a, b, score in part], dev=len(dev),
    )  # fmt: skip
    return Job(
        encoder=spec, train=settings, home=home.root, pairs=plain[0], dev=plain[1],
        checkpoints=home.checkpoints / fingerprint[:32], parent=os.getpid(),
    )  # fmt: skip


def train(given: Job, out: Path) -> dict[str, Any]:
    """Write the model directory into the folder ``out``; return what happened while training.

    A run that was stopped goes on from its last checkpoint. Its checkpoints are removed at the end.

    Raises:
        AngleAdaptError: whatever is wrong with the pairs, the settings or the machine.
    """
    if given.train.processes == 1:
        from pipeline.training import worker  # noqa: PLC0415 - imports torch, others do not need it

        return worker.train_here(given, out)
    with tempfile.TemporaryDirectory(prefix="angle-adapt-") as name:
        folder = Path(name)
        (folder / JOB).write_text(given.model_dump_json(), encoding="utf-8")
        _launch(folder, given.train.processes)
        shutil.copytree(folder / MODEL, out, dirs_exist_ok=True)
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return summary


def _launch(folder: Path, processes: int) -> None:
    threads = max(1, (os.cpu_count() or 1) // processes)
    command = [
        sys.executable, "-m", "pipeline.training.launch", str(folder), str(processes),
    ]  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    ended = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own module
    if ended.returncode == 0:
        return
    if (folder / ERROR).is_file():
        told = json.loads((folder / ERROR).read_text(encoding="utf-8"))
        kind: type[AngleAdaptError] = getattr(errors, told["kind"])
        raise kind(told["message"])
    message = (
        f"training in {processes} processes ended with code {ended.returncode}; the reason is "
        "above. Run again to go on from the last checkpoint"
    )
    raise ResourceError(message)
