"""Hugging Face data sets, by name on the Hub or as a folder of this machine.

``collect.path`` is the name ("owner/name") or the folder. Rows are streamed, the columns asked for
alone, and kept on the shelf in parts, so that a killed run goes on after the last part and a rerun
of an unchanged commit fetches nothing. Code that a data set brings along is never run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from pipeline import config as configuration
from pipeline.disk import disk_errors, file_digest, write_atomically
from pipeline.errors import InputError, NotFetchedError
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, Record, digest_of
from pipeline.sections import CollectSettings
from pipeline.sources import columns, parts
from pipeline.sources.tables import Fault

log = logging.getLogger(__name__)

PART: Final = 10_000  # rows
_NAME: Final = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


class Version(NamedTuple):
    """What is read: a commit of the Hub or the digest of a folder, and where it comes from."""

    identity: str
    url: str = ""
    licence: str = ""
    folder: Path | None = None


class Fetched(Record):
    """What of a data set is on the shelf."""

    identity: str
    folder: str
    parts: int
    whole: bool
    fetched_at: str
    url: str = ""
    licence: str = ""
    problem: str = ""


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Bring the rows of the newest version to the shelf.

    Raises:
        InputError: when the data set, the split or a column is not there, or nothing can be read.
        ResourceError: when the disk is full.
    """
    version = _version(settings)
    known = _fetched(settings, shelf)
    name = digest_of(settings.path, version.identity, _asked(settings))
    folder = shelf / name
    if known and known.folder == name and known.whole and folder.is_dir():
        return
    with disk_errors(shelf):
        folder.mkdir(parents=True, exist_ok=True)
        problem = _bring(settings, version, folder)
    fetched = Fetched(
        identity=version.identity,
        folder=name,
        parts=len(parts.complete(folder)),
        whole=not problem,
        fetched_at="" if version.folder else datetime.now(UTC).isoformat(timespec="seconds"),
        url=version.url,
        licence=version.licence,
        problem=problem,
    )
    if problem and not any(parts.rows_of(folder)):
        message = f"collect.path: the data set {settings.path} cannot be read: {problem}"
        raise InputError(message)
    if problem:
        log.warning("the data set %s is read as far as it came: %s", settings.path, problem)
    write_atomically(_place(settings, shelf), fetched.model_dump_json(indent=1))
    if known and known.folder != name:
        shutil.rmtree(shelf / known.folder, ignore_errors=True)


def fingerprint(settings: CollectSettings, shelf: Path) -> str:
    """Return the version on the shelf and how much of it is there.

    Raises:
        InputError: when it was never fetched.
    """
    fetched = _needed(settings, shelf)
    return f"{fetched.identity} {fetched.folder} {fetched.parts} {fetched.problem}"


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:
    """Yield a document a row.

    Raises:
        InputError: when it was never fetched.
    """
    fetched = _needed(settings, shelf)
    given = {"url": fetched.url, "fetched_at": fetched.fetched_at, "licence": fetched.licence}
    if settings.licence:
        del given["licence"]
    number = 0
    for row, where in parts.rows_of(shelf / fetched.folder):
        number += 1
        name = f"{settings.path}#{number}"
        found = columns.fields(row, where, columns.wanted(settings))
        if isinstance(found, Fault):
            yield Dropped(
                record_id=name, stage="collect", reason=found.reason, detail=f"{name}: {found[2]}"
            )
            continue
        source = f"huggingface {fetched.identity[:12]}"
        yield columns.document(found, settings, name=name, source=source, **given)
    if fetched.problem:
        yield Dropped(
            record_id=settings.path, stage="collect", reason="cut_off", detail=fetched.problem
        )


def _version(settings: CollectSettings) -> Version:
    if not settings.path:
        message = "collect.path is empty: name a data set of the Hub (owner/name) or a folder"
        raise InputError(message)
    folder = configuration.resolve(settings.path)
    if folder.is_dir():
        return Version(_digest(folder), folder=folder)
    if not _NAME.fullmatch(settings.path):
        message = (
            f"collect.path: {settings.path} is no folder and no name of a data set (owner/name); "
            "for a file, use collect.source: files"
        )
        raise InputError(message)
    from huggingface_hub import HfApi  # noqa: PLC0415 - takes a moment

    revision = settings.huggingface.revision or None
    try:
        info = HfApi().dataset_info(settings.path, revision=revision)
    except Exception as error:  # it raises errors of three libraries
        raise InputError(_unloadable(settings, error)) from error
    licence = getattr(info.card_data, "license", None) or ""
    stated = licence if isinstance(licence, str) else ", ".join(licence)
    url = f"https://huggingface.co/datasets/{settings.path}"
    return Version(str(info.sha), url=url, licence=stated)


def _digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return content.hexdigest()


def _bring(settings: CollectSettings, version: Version, folder: Path) -> str:
    """Write the parts that are missing; return what cut this short, or ""."""
    done = len(parts.complete(folder)) * PART
    try:
        taken = _taken(settings, version, folder)
        if done:
            taken = taken.skip(done)
    except Exception as error:  # it raises errors of a dozen libraries
        raise InputError(_unloadable(settings, error)) from error
    arriving = _Arriving(taken, columns.wanted(settings))
    with Progress("fetch", settings.huggingface.max_rows, "row") as progress:
        progress.advance(done)
        while part := list(itertools.islice(arriving, PART)):
            parts.write(folder / f"{done // PART:06}.jsonl.gz", part, whole=not arriving.problem)
            done += len(part)
            progress.advance(len(part))
            if len(part) < PART:
                break
    return arriving.problem


class _Arriving:
    """The rows of a data set, until they end or something goes wrong."""

    def __init__(self, taken: Iterable[dict[str, Any]], wanted: dict[str, str]) -> None:
        self._rows, self._wanted = iter(taken), wanted
        self.problem = ""
        self._first = True

    def __iter__(self) -> _Arriving:
        return self

    def __next__(self) -> dict[str, Any]:
        try:
            row = next(self._rows)
        except StopIteration:
            raise
        except Exception as error:  # as above: a broken file, a lost connection
            self.problem = f"{type(error).__name__}: {error}"[:300]
            raise StopIteration from error
        if self._first:
            self._first = False
            found = columns.fields(row, "", self._wanted)
            if isinstance(found, Fault) and found.reason == columns.MISSING:
                message = f"the data set has {found.detail}"
                raise InputError(message)
        return {column: row.get(column) for column in self._wanted.values()}


def _taken(settings: CollectSettings, version: Version, folder: Path) -> Any:  # noqa: ANN401 - datasets has no types
    import datasets  # noqa: PLC0415 - takes a second

    chosen = settings.huggingface
    if version.folder and _is_saved(version.folder):
        saved = datasets.load_from_disk(str(version.folder))
        found = (saved[chosen.split] if hasattr(saved, "keys") else saved).to_iterable_dataset()
    else:
        found = datasets.load_dataset(
            str(version.folder or settings.path),
            name=chosen.subset or None,
            split=chosen.split,
            revision=None if version.folder else version.identity,
            streaming=True,
            cache_dir=str(folder.parent / "cache"),
        )
    return found.take(chosen.max_rows) if chosen.max_rows else found


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _needed(settings: CollectSettings, shelf: Path) -> Fetched:
    fetched = _fetched(settings, shelf)
    if fetched is None:
        message = (
            f"the data set {settings.path} was not fetched yet: run once with collect.refresh: true"
        )
        raise NotFetchedError(message)
    return fetched


def _fetched(settings: CollectSettings, shelf: Path) -> Fetched | None:
    try:
        return Fetched.model_validate_json(_place(settings, shelf).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _place(settings: CollectSettings, shelf: Path) -> Path:
    return shelf / f"{digest_of(settings.path, _asked(settings))}.json"


def _asked(settings: CollectSettings) -> str:
    """Return what of the settings decides which rows and columns are fetched."""
    wanted = columns.wanted(settings)
    return json.dumps([settings.huggingface.model_dump(), wanted], sort_keys=True)


def _unloadable(settings: CollectSettings, error: Exception) -> str:
    return (
        f"collect.path: the data set {settings.path} cannot be loaded "
        f"({type(error).__name__}: {error}); check the name, the subset, the split and, for one "
        "that is not public, the token in HF_TOKEN"
    )[:600]
