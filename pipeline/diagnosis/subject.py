"""The model that is examined: what its folder says, and its vectors in every form they are had."""

from __future__ import annotations

import gc
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import torch

from pipeline.encoder import Vectors, probe
from pipeline.encoder.spec import (
    ADAPTER_FILE,
    EncoderSpec,
    ModelDescription,
    is_ours,
    read_description,
    spec_of,
)
from pipeline.encoder.transformer import TransformerEncoder, load_backbone, load_model
from pipeline.settings import Home

Form = Literal["base", "merged", "unmerged"]

LARGE: Final = 10_000_000  # parameters of a model whose memory is not left to chance


class Subject:
    """One model directory; what takes long is done once, and when a check asks for it."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder, self.home = folder, home
        self._vectors: dict[tuple[Form, torch.dtype], Vectors] = {}

    @cached_property
    def description(self) -> ModelDescription | None:
        """What training wrote; None in a folder that is not ours."""
        return read_description(self.folder) if is_ours(self.folder) else None

    @cached_property
    def spec(self) -> EncoderSpec:
        """How texts become vectors."""
        return spec_of(self.folder)

    @cached_property
    def recorded(self) -> tuple[probe.Probe, Vectors] | None:
        """The vectors that were left in the folder, if any were."""
        return probe.read(self.folder)

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter beside a backbone; else the folder is a whole model."""
        return (self.folder / ADAPTER_FILE).is_file()

    @cached_property
    def encoder(self) -> TransformerEncoder:
        """The model as every other command loads it: merged, in the fastest precision."""
        return load_model(self.folder, self.home)

    def vectors(self, form: Form, dtype: torch.dtype) -> Vectors:
        """Return the vectors of the probe's texts; one model more than ``encoder`` is in memory."""
        if form == "merged" and dtype == self.encoder.model.dtype:
            return self.usual
        if (form, dtype) not in self._vectors:
            encoder = self._load(form, dtype)
            self._vectors[form, dtype] = encoder.encode(probe.TEXTS, "")
            large = encoder.model.num_parameters() >= LARGE
            del encoder
            if large:
                gc.collect()  # a model that peft has wrapped holds itself
        return self._vectors[form, dtype]

    @cached_property
    def usual(self) -> Vectors:
        """The vectors of the probe's texts by ``encoder``."""
        return self.encoder.encode(probe.TEXTS, "")

    def _load(self, form: Form, dtype: torch.dtype) -> TransformerEncoder:
        if form == "base":
            spec = self.spec.model_copy(update={"max_length": self.encoder.spec.max_length})
            return load_backbone(spec, self.home, dtype)
        return load_model(self.folder, self.home, dtype, merge=form == "merged")
