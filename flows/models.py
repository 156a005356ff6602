"""Finding the model that a user names: a folder, the id of a run, or "latest"."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline import runs
from pipeline.errors import InputError

LATEST: Final = "latest"


def find(name: str) -> Path:
    """Return the folder of a model.

    Raises:
        InputError: when there is none under that name; says what may be named.
    """
    given = Path(name).expanduser()
    if given.is_dir():
        return given
    if name == LATEST:
        return _latest()
    if "/" in name or "\\" in name:
        message = f"there is no model folder {name}; name a folder, the id of a run, or latest"
        raise InputError(message)
    record = runs.load(name)
    if not Path(record.model).is_dir() or not record.model:
        message = f"run {name} ({record.status}) has no model; run its domain again"
        raise InputError(message)
    return Path(record.model)


def _latest() -> Path:
    for record in runs.list_runs():
        if record.model and Path(record.model).is_dir():
            return Path(record.model)
    message = "no run has made a model yet; start with `angle-adapt run DOMAIN.yaml`"
    raise InputError(message)
