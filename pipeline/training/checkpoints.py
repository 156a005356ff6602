"""Checkpoints that a kill at any moment leaves whole: written aside, synced, then renamed.

A checkpoint is a folder ``step-N`` with tensors (safetensors), facts (JSON) and a manifest of their
digests. The two newest are kept; the newest that verifies is gone on from.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.disk import disk_errors, file_digest, sync

log = logging.getLogger(__name__)

MANIFEST: Final = "manifest.json"
TENSORS: Final = "state.safetensors"
FACTS: Final = "facts.json"
KEPT: Final = 2


class Checkpoint(NamedTuple):
    """What a run needs to go on as if it had never stopped."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the newest two.

        Raises:
            ResourceError: when the disk is full; earlier checkpoints stay.
        """
        place = self.folder / f"step-{checkpoint.step:08d}"
        aside = self.folder / f".{place.name}.{os.getpid()}.tmp"
        with disk_errors(self.folder):
            aside.mkdir(parents=True, exist_ok=True)
            try:
                _write(aside, checkpoint)
                shutil.rmtree(place, ignore_errors=True)
                aside.rename(place)
                sync(self.folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        self._prune()

    def _prune(self) -> None:
        for old in self._places()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        for left in self.folder.glob(".step-*.tmp"):  # of a killed process
            shutil.rmtree(left, ignore_errors=True)

    def _places(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"), reverse=True)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None when there is none."""
        for place in self._places():
            try:
                return _read(place)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                log.warning("%s is not whole (%s); an older checkpoint is tried", place, error)
        return None

    def clear(self) -> None:
        """Remove the run's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, folder / TENSORS)
    facts = json.dumps({"step": checkpoint.step, "facts": checkpoint.facts}, allow_nan=False)
    (folder / FACTS).write_text(facts, encoding="utf-8")
    digests = {name: file_digest(folder / name) for name in (TENSORS, FACTS)}
    (folder / MANIFEST).write_text(json.dumps(digests), encoding="utf-8")
    for name in (TENSORS, FACTS, MANIFEST):
        sync(folder / name)
    sync(folder)


def _read(place: Path) -> Checkpoint:
    digests = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    for name in (TENSORS, FACTS):
        if file_digest(place / name) != digests[name]:
            message = f"{name} is damaged"
            raise ValueError(message)
    saved = json.loads((place / FACTS).read_text(encoding="utf-8"))
    return Checkpoint(saved["step"], load_file(place / TENSORS), saved["facts"])
