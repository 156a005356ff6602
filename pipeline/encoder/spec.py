"""What a model directory says of itself, and the spec of an encoder. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from pipeline.encoder import known
from pipeline.errors import ArtifactError, ConfigError, InputError
from pipeline.records import Record

MODEL_FILE: Final = "angle_adapt.json"
FORMAT_VERSION: Final = 1
VECTORS_VERSION: Final = 3  # goes up when a spec gives other vectors of some text
ADAPTER_FILE: Final = "adapter_config.json"  # peft's


class EncoderSpec(Record):
    """How a text becomes a vector; saved with every model and never re-typed by a user."""

    backbone: str
    revision: str = ""
    template: str
    pooling: str
    attention: str = "native"
    bidirectional_from: int = 0
    max_length: int  # tokens of the text; 0: as many as the model takes, at most 512 in all
    layers: int = 0
    dimensions: int = 0

    @classmethod
    def of(cls, settings: BaseModel) -> EncoderSpec:
        """Return the spec that the ``encoder`` section of a configuration asks for.

        What the section leaves empty is what the backbone was made for (`pipeline.encoder.known`).
        No weight is read, and for a folder no network is used.

        Raises:
            ConfigError: when the settings contradict each other.
            InputError: when nothing says what the backbone was made for.
        """
        given = settings.model_dump()
        empty = {name for name in ("template", "pooling", "attention") if given[name] is None}
        if empty:
            made = known.made_for(given["backbone"], given["revision"])
            given |= {name: getattr(made, name) for name in empty}
            if "attention" in empty and given["bidirectional_from"] == 0:
                given["bidirectional_from"] = made.bidirectional_from
        spec = cls.model_validate(given)
        spec.check()
        return spec

    def check(self) -> None:
        """Refuse a spec that contradicts itself.

        Raises:
            ConfigError: names the setting.
        """
        if self.template.count("{text}") != 1:
            message = f"encoder.template is {self.template!r}: it must hold {{text}} once"
            raise ConfigError(message)
        if self.bidirectional_from and self.attention != "bidirectional":
            message = "encoder.bidirectional_from needs encoder.attention: bidirectional"
            raise ConfigError(message)


class ModelDescription(Record):
    """What a model directory says of itself, beside the adapter."""

    format_version: int
    encoder: EncoderSpec
    backbone_identity: str
    first_layer: int  # the lowest layer that has adapters
    train: dict[str, Any]
    strength: float = 1.0  # of the adapter in the folder, over that of the trained one


def is_ours(path: Path) -> bool:
    """Return whether ``path`` is a model directory that this project wrote."""
    return (path / MODEL_FILE).is_file()


def read_description(path: Path) -> ModelDescription:
    """Return how the model in ``path`` makes vectors, and where it came from.

    Raises:
        InputError: when ``path`` is not a model of ours.
        ArtifactError: when it was written by another version.
    """
    try:
        saved = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} is not a model of ours: {MODEL_FILE} is missing or unreadable"
        raise InputError(message) from error
    if saved.get("format_version") != FORMAT_VERSION:
        found = saved.get("format_version")
        message = f"{path} has model format {found}; this version reads {FORMAT_VERSION}"
        raise ArtifactError(message)
    try:
        return ModelDescription.model_validate(saved)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(str(part) for part in wrong["loc"])
        message = f"{path / MODEL_FILE} is damaged or of a newer version: {where}: {wrong['msg']}"
        raise ArtifactError(message) from error


def spec_of(path: Path) -> EncoderSpec:
    """Return how the model in a folder makes vectors; nothing but JSON is read.

    The folder holds a model of ours, an adapter of peft, or a whole model.

    Raises:
        InputError: when nothing says how.
        ArtifactError: when it was written by a newer version.
    """
    adapter, whole = ((path / file).is_file() for file in (ADAPTER_FILE, "config.json"))
    if is_ours(path) or not (adapter or whole):
        return read_description(path).encoder
    if not adapter:
        made, base = known.made_for(str(path)), str(path)
        return EncoderSpec(backbone=base, max_length=0, **made._asdict())
    base = base_of(path)
    found = known.by_name(str(path)) or known.by_name(base)
    if found is None:
        message = (
            f"nothing says how the adapter {path} on {base!r} makes vectors: "
            "give encoder.template and encoder.pooling"
        )
        raise InputError(message)
    return EncoderSpec(backbone=base, max_length=0, **found._asdict())


def base_of(path: Path) -> str:
    """Return the backbone that the adapter in ``path`` belongs to.

    Raises:
        InputError: when ``adapter_config.json`` is missing or names none.
    """
    try:
        settings = json.loads((path / ADAPTER_FILE).read_text(encoding="utf-8"))
        return str(settings["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        message = f"{path / ADAPTER_FILE} is missing, unreadable or names no base model"
        raise InputError(message) from error
