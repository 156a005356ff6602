"""The record of every run: what was asked, what each stage did, the verdict, and where it all is.

One folder a run under ``Home.runs``: ``run.json``, the report, and links named ``model`` and
``dataset`` into the store. The record is replaced as a whole after every stage, so what a killed
run had reached is known; one that says "running" while its process is gone reads "interrupted".
"""

from __future__ import annotations

import logging
import os
import platform
import re
import secrets
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from pipeline.config import DomainConfig
from pipeline.disk import disk_errors, write_atomically
from pipeline.errors import ArtifactError, InputError
from pipeline.records import Record
from pipeline.settings import home

log = logging.getLogger(__name__)

Status = Literal["running", "completed", "partial", "failed", "interrupted"]

FILE: Final = "run.json"
PACKAGES: Final = ("torch", "transformers", "peft", "prefect", "pyarrow", "scipy")


class StageRecord(Record):
    """What one stage came to in a run."""

    stage: str
    cached: bool
    digest: str
    rows: int
    seconds: float = Field(description="its computation took, here or in the run it is reused from")
    waited: float = Field(0.0, description="seconds this run spent on it, looking it up included")
    key: str


class RunRecord(Record):
    """Everything worth knowing about a run afterwards."""

    id: str
    domain: str
    started: str
    finished: str = ""
    status: Status = "running"
    verdict: str = ""
    error: str = ""
    partial: str = Field("", description="what is missing that running again may bring")
    stages: tuple[StageRecord, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(
        default_factory=dict, description="the evaluate stage's summary, once there is one"
    )
    report: str = ""
    model: str = ""
    dataset: str = ""
    url: str = Field("", description="where the run is shown in the Prefect UI")
    pid: int = 0
    host: str = ""


def new_id(name: str) -> str:
    """Return an id for a run of ``name`` that sorts by time and serves as a folder name."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "run"
    return f"{slug}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def folder(run_id: str) -> Path:
    """Return the folder of a run; ids that would lead out of the runs' folder are refused.

    Raises:
        InputError: when ``run_id`` is not a plain name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run_id):
        message = f"{run_id!r} is not the id of a run; `angle-adapt runs` lists them"
        raise InputError(message)
    return home().runs / run_id


def start(config: DomainConfig, run_id: str = "", url: str = "") -> RunRecord:
    """Return the stored record of a run that begins now, in this process."""
    values = config.model_dump(mode="json")
    record = RunRecord(
        id=run_id or new_id(config.domain),
        domain=config.domain,
        started=_now(),
        config=values,
        versions=versions(),
        seeds={name: part["seed"] for name, part in values.items() if _has_seed(part)},
        url=url,
        pid=os.getpid(),
        host=socket.gethostname(),
    )
    return save(record)


def save(record: RunRecord, **changes: object) -> RunRecord:
    """Return ``record`` with ``changes``, stored in place of the earlier one."""
    changed = RunRecord.model_validate({**dict(record), **changes})
    write_atomically(folder(record.id) / FILE, changed.model_dump_json(indent=2) + "\n")
    return changed


def add(record: RunRecord, stage: StageRecord) -> RunRecord:
    """Return ``record`` with a finished stage, stored."""
    return save(record, stages=(*record.stages, stage))


def finish(record: RunRecord, status: Status, error: str = "") -> RunRecord:
    """Return ``record`` as it ends, stored."""
    return save(record, status=status, error=error, finished=_now())


def load(run_id: str) -> RunRecord:
    """Return the record of a run; one whose process is gone reads "interrupted".

    Raises:
        InputError: when there is no such run.
        ArtifactError: when its record cannot be read.
    """
    path = folder(run_id) / FILE
    try:
        record = RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"there is no run {run_id!r} in {home().runs}; `angle-adapt runs` lists them"
        raise InputError(message) from error
    except (OSError, ValidationError) as error:
        message = f"{path} cannot be read; it was damaged, or written by another version"
        raise ArtifactError(message) from error
    return record.model_copy(update={"status": "interrupted"}) if _abandoned(record) else record


def list_runs() -> list[RunRecord]:
    """Return the records of all runs, latest first; unreadable ones are named in the log."""
    records = []
    for path in home().runs.glob(f"*/{FILE}"):
        try:
            records.append(load(path.parent.name))
        except (ArtifactError, InputError) as error:
            log.warning("%s", error)
    return sorted(records, key=lambda record: (record.started, record.id), reverse=True)


def link(record: RunRecord, published: Path) -> RunRecord:
    """Return ``record`` with the published model and dataset linked from its folder, stored."""
    places = {name: published / name for name in ("model", "dataset")}
    there = {name: place for name, place in places.items() if place.is_dir()}
    for name, place in there.items():
        _link(folder(record.id) / name, place)
    return save(record, **{name: str(place) for name, place in there.items()})


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions that decide a result: Python, the platform and the libraries."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _link(place: Path, target: Path) -> None:
    with disk_errors(place):
        place.unlink(missing_ok=True)
        try:
            place.symlink_to(target, target_is_directory=True)
        except (NotImplementedError, PermissionError):  # a disk or system without links
            write_atomically(place, f"{target}\n")


def _abandoned(record: RunRecord) -> bool:
    if record.status != "running" or record.host != socket.gethostname():
        return False
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is someone else's
        return False
    return False


def _has_seed(part: object) -> bool:
    return isinstance(part, dict) and "seed" in part


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
