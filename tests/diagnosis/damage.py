"""A tiny model that was really trained, and ways to damage copies of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.diagnosis import examination
from pipeline.diagnosis.finding import Finding
from pipeline.diagnosis.subject import Subject
from pipeline.encoder import probe
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone, load_model
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training import saving
from pipeline.training.examples import Example
from pipeline.training.fit import Trainer

WEIGHTS = "adapter_model.safetensors"
PAIRS = [
    Example("Open a socket.", "Read a socket.", 1.0), Example("Sort it.", "Open a file.", 0.0),
    Example("Sort the list.", "Sort it by size.", 0.9), Example("Read bytes.", "Sort it.", 0.1),
]  # fmt: skip


def trained(backbone: Path, out: Path, **how: object) -> Path:
    """Train a model for a few steps and save it as a run does."""
    given = {"template": 'Say "{text}" in one word:"', "pooling": "last", "max_length": 48} | how
    spec = EncoderSpec.model_validate({"backbone": str(backbone)} | given)
    encoder = load_backbone(spec, Home(out), torch.float32)
    settings = {
        "epochs": 6, "learning_rate": 2e-2, "batch_pairs": 4, "precision": "float32", "warmup": 0.0,
    }  # fmt: skip
    run = Trainer(encoder, PAIRS, TrainSettings.model_validate(settings))
    run.run()
    out.mkdir(parents=True, exist_ok=True)
    saving.save(run, out)
    return out


class Findings(dict[str, Finding]):
    """The findings of an examination by their checks."""

    @property
    def problems(self) -> set[str]:
        """Names of the checks that failed."""
        return {name for name, one in self.items() if one.state == "problem"}


class Model(NamedTuple):
    """A model directory of a test, and the backbone it was trained on."""

    folder: Path
    backbone: Path

    def findings(self) -> Findings:
        """Examine the model; what to do is said of problems, and of nothing else."""
        subject = Subject(self.folder, Home(self.folder.parent))
        found = Findings({found.check: found for found in examination.examine(subject)})
        assert found.problems == {name for name, one in found.items() if one.remedy}
        return found

    def describe(self, **fields: object) -> None:
        """Change fields of the encoder in angle_adapt.json."""
        edit_json(self.folder / "angle_adapt.json", lambda saved: saved["encoder"].update(fields))

    def record(self) -> None:
        """Record the probe again, as if the model had been trained to be as it is now."""
        encoder = load_model(self.folder, Home(self.folder.parent), torch.float32)
        vectors, rows = encoder.encode(probe.TEXTS), encoder.token_ids(probe.TEXTS)
        probe.write(self.folder, vectors, rows, "torch.float32")

    @contextmanager
    def adapter(self) -> Iterator[dict[str, Tensor]]:
        """Give the adapter's tensors to be changed."""
        state = load_file(self.folder / WEIGHTS)
        yield state
        save_file(state, self.folder / WEIGHTS, {"format": "pt"})

    def vouch(self) -> None:
        """Record the digest of the adapter as it is, and the vectors that were recorded before."""
        found = probe.read(self.folder)
        assert found
        probe.write(self.folder, found[1], found[0].tokens, found[0].dtype)


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def weights_of(backbone: Path) -> Iterator[dict[str, Tensor]]:
    """Give the tensors of a backbone to be changed."""
    state = load_file(backbone / "model.safetensors")
    yield state
    save_file(state, backbone / "model.safetensors", {"format": "pt"})
