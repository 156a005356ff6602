"""Finding the model that a user names: a folder, the id of a run, or "latest"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline import runs
from pipeline.encoder import backbone
from pipeline.errors import InputError
from pipeline.runs import RunRecord

if TYPE_CHECKING:
    from pipeline.encoder.transformer import TransformerEncoder

LATEST: Final = "latest"


class Loaded(NamedTuple):
    """An encoder, what to call it, and the backbone that it was adapted from."""

    encoder: TransformerEncoder
    name: str
    adapted_from: str


def find(name: str) -> Path:
    """Return the folder of a model.

    Raises:
        InputError: when there is none under that name; says what may be named.
    """
    given = Path(name).expanduser()
    if given.is_dir():
        return given
    if name == LATEST:
        return Path(_latest().model)
    if "/" in name or "\\" in name:
        message = f"there is no model folder {name}; name a folder, the id of a run, or latest"
        raise InputError(message)
    record = runs.load(name)
    if not Path(record.model).is_dir() or not record.model:
        message = f"run {name} ({record.status}) has no model; run its domain again"
        raise InputError(message)
    return Path(record.model)


def record_of(name: str) -> RunRecord | None:
    """Return the run that a user names; None for a folder or a backbone.

    Raises:
        InputError: when there is no such run.
    """
    if name == LATEST:
        return _latest()
    known = Path(name).expanduser().is_dir() or "/" in name or name in backbone.BUILT_IN
    return None if known else runs.load(name)


def _latest() -> RunRecord:
    for record in runs.list_runs():
        if record.model and Path(record.model).is_dir():
            return record
    message = "no run has made a model yet; start with `angle-adapt run DOMAIN.yaml`"
    raise InputError(message)


def load(model: str) -> Loaded:
    """Return the encoder that a user names: a folder, a run, latest, or the name of a backbone.

    Raises:
        InputError: when there is none of that name, or it cannot be loaded.
    """
    from pipeline.encoder import spec, transformer  # noqa: PLC0415 - imports torch
    from pipeline.sections import EncoderSettings  # noqa: PLC0415
    from pipeline.settings import home  # noqa: PLC0415

    hub = model.count("/") == 1 and not model.startswith((".", "/", "~"))
    if not Path(model).expanduser().is_dir() and (model in backbone.BUILT_IN or hub):
        plain = spec.EncoderSpec.of(EncoderSettings(backbone=model))
        return Loaded(transformer.load_backbone(plain, home()), model, "")
    place = find(model)
    name = place.resolve().name if Path(model).expanduser().is_dir() else model
    adapted = (place / spec.ADAPTER_FILE).is_file()
    base = spec.spec_of(place).backbone if adapted else ""
    return Loaded(transformer.load_model(place, home()), name, base)
