"""Content-addressed storage, and the small references that stages exchange.

An artefact is a folder: data files and a ``MANIFEST.json`` that names each with size and SHA-256.
Its digest is the SHA-256 of that manifest, and its place in the store follows from the digest, so
the same data written twice is one folder. A folder appears under its final name only when every
byte of it is on disk (written aside, synced, renamed), and is checked against its manifest when it
is looked up, so a missing or damaged artefact is found out and computed again.

The index maps the key of a finished stage (:func:`stage_key`) to the reference it produced.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from pipeline import tables
from pipeline.disk import disk_errors, file_digest, sync, write_atomically
from pipeline.errors import ArtifactError
from pipeline.records import SCHEMA_VERSION, Dropped, R, Record, from_table, to_table
from pipeline.settings import Home
from pipeline.tables import READ_ROWS, RowWriter

log = logging.getLogger(__name__)

MANIFEST: Final = "MANIFEST.json"
MEASURED: Final = "measured.json"
PARTIAL: Final = "partial"  # in a summary: what is missing that running again may bring, in words


class Reference(Record):
    """What stages pass to each other instead of data."""

    kind: str
    digest: str
    uri: str
    rows: int
    schema_version: int = SCHEMA_VERSION


class IndexEntry(Record):
    """A finished stage: what it produced and what that cost."""

    key: str
    stage: str
    reference: Reference
    seconds: float


def canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value, that is the point
    """Return ``value`` as plain JSON data with one spelling for equal values.

    Raises:
        TypeError: for anything that is not JSON-like; a key is never guessed.
    """
    if isinstance(value, Reference):
        return {"$reference": value.digest}
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        return repr(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    message = f"{type(value).__name__} may not enter a cache key"
    raise TypeError(message)


def stage_key(stage: str, version: int, **parts: Any) -> str:  # noqa: ANN401
    """Return the cache key of a stage: its name, version and all that decides its output."""
    text = json.dumps([stage, version, canonical(parts)], sort_keys=True, separators=(",", ":"))
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class Draft:
    """An artefact being written: a folder aside, and the number of rows it will claim."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        """The reference, once the ``with`` block that wrote the artefact has ended."""
        if self._reference is None:
            message = "the artefact is still being written"
            raise ArtifactError(message)
        return self._reference

    def write_rows(self, rows: Sequence[R], record: type[R], name: str = "rows") -> None:
        """Write ``rows`` as ``name``.parquet; the table called "rows" sets the row count."""
        self.write_table(to_table(rows, record), name)

    def write_table(self, table: pa.Table, name: str = "rows") -> None:
        """Write an Arrow table as ``name``.parquet, with page checksums."""
        tables.write(table, self.path / f"{name}.parquet")
        if name == "rows":
            self.rows = table.num_rows

    @contextmanager
    def writer(self, record: type[R], name: str = "rows") -> Iterator[RowWriter[R]]:
        """Yield a writer of ``name``.parquet that takes its rows a few at a time."""
        with RowWriter(self.path / f"{name}.parquet", record) as writer:
            yield writer
        if name == "rows":
            self.rows = writer.rows

    def write_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Write what the stage did not pass on, each with its reason."""
        self.write_rows(dropped, Dropped, "dropped")

    def write_json(self, value: Mapping[str, Any], name: str = "summary") -> None:
        """Write ``value`` as ``name``.json."""
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        (self.path / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def write_measured(self, value: Mapping[str, Any]) -> None:
        """Write what making the artefact took (seconds, requests); not part of its identity."""
        self.write_json(value, MEASURED.removesuffix(".json"))

    def finish(self, reference: Reference) -> None:
        """Remember the reference under which the store committed this draft."""
        self._reference = reference


class Store:
    """A folder of artefacts and the index of finished stages."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.root = home.store
        self._objects = self.root / "objects"
        self._index = self.root / "index"
        self._drafts = self.root / "drafts"

    @contextmanager
    def create(self, kind: str) -> Iterator[Draft]:
        """Yield a draft; commit it when the block ends, discard it when the block raises.

        Raises:
            ResourceError: when the disk is full or not writable.
        """
        with disk_errors(self.root):
            self._drafts.mkdir(parents=True, exist_ok=True)
            draft = Draft(Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self._drafts)))
            try:
                yield draft
                draft.finish(self._commit(draft, kind))
            finally:
                shutil.rmtree(draft.path, ignore_errors=True)

    def _commit(self, draft: Draft, kind: str) -> Reference:
        text = _manifest(draft, kind)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (draft.path / MANIFEST).write_text(text, encoding="utf-8")
        for path in sorted(draft.path.rglob("*")):
            sync(path)
        sync(draft.path)
        place = self._place(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        reference = Reference(kind=kind, digest=digest, uri=place.as_uri(), rows=draft.rows)
        with self.lock(f"commit-{digest[:2]}"):  # else one writer removes what another put there
            if self.problem(reference):
                shutil.rmtree(place, ignore_errors=True)
                draft.path.rename(place)
                sync(place.parent)
        return reference

    def _place(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest

    def path(self, reference: Reference) -> Path:
        """Return the folder behind ``reference``.

        Raises:
            ArtifactError: when it is not there.
        """
        place = self._place(reference.digest)
        if not (place / MANIFEST).is_file():
            message = f"{reference.kind} {reference.digest[:12]} is missing from {self.root}"
            raise ArtifactError(message)
        return place

    def problem(self, reference: Reference) -> str:
        """Return what is wrong with the data behind ``reference``, naming the file, or ""."""
        place = self._place(reference.digest)
        try:
            data = (place / MANIFEST).read_bytes()
        except OSError:
            return f"{place} is missing"
        if hashlib.sha256(data).hexdigest() != reference.digest:
            return f"{place / MANIFEST} is damaged"
        for name, entry in json.loads(data)["files"].items():
            path = place / name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != entry["size"] or file_digest(path) != entry["sha256"]:
                return f"{path} is damaged"
        return ""

    def lookup(self, key: str) -> IndexEntry | None:
        """Return the finished stage under ``key`` if its data is there and undamaged."""
        path = self._index / f"{key}.json"
        try:
            entry = IndexEntry.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            log.warning("%s cannot be read; the stage runs again", path)
            return None
        if problem := self.problem(entry.reference):
            log.warning("%s; the stage runs again", problem)
            return None
        return entry

    def record(self, entry: IndexEntry) -> None:
        """Enter a finished stage in the index."""
        write_atomically(self._index / f"{entry.key}.json", entry.model_dump_json(indent=2))

    def lock(self, key: str) -> FileLock:
        """Return a lock on ``key`` that the kernel frees when its holder dies."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock")

    def rows(self, reference: Reference, record: type[R], name: str = "rows") -> list[R]:
        """Return the rows of the table ``name`` of an artefact."""
        return from_table(self.table(reference, name), record)

    def table(self, reference: Reference, name: str = "rows") -> pa.Table:
        """Return the table ``name`` of an artefact, page checksums verified.

        Raises:
            ArtifactError: when it is missing or damaged.
        """
        return tables.read(self.path(reference) / f"{name}.parquet")

    def batches(
        self, reference: Reference, record: type[R], name: str = "rows", size: int = READ_ROWS
    ) -> Iterator[list[R]]:
        """Yield the rows of the table ``name``, at most ``size`` at a time.

        Raises:
            ArtifactError: when it is missing or damaged; rows before the damage were yielded.
        """
        return tables.read_rows(self.path(reference) / f"{name}.parquet", record, size)

    @contextmanager
    def scratch(self, label: str) -> Iterator[Path]:
        """Yield a folder on the disk of the store, removed when the block ends."""
        with disk_errors(self.root):
            self._drafts.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{label}-", dir=self._drafts) as name:
                yield Path(name)

    def json(self, reference: Reference, name: str = "summary") -> dict[str, Any]:
        """Return the JSON object ``name`` of an artefact; a summary with what was measured."""
        loaded: dict[str, Any] = {}
        for file in (f"{name}.json", MEASURED) if name == "summary" else (f"{name}.json",):
            path = self.path(reference) / file
            if path.is_file():
                loaded = _merged(loaded, json.loads(path.read_text(encoding="utf-8")))
        return loaded


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return both objects as one, level by level."""
    both = {
        key: _merged(one[key], other[key]) if isinstance(one.get(key), dict) else other[key]
        for key in other
    }
    return one | both


def _manifest(draft: Draft, kind: str) -> str:
    files = {
        path.relative_to(draft.path).as_posix(): {
            "size": path.stat().st_size,
            "sha256": file_digest(path),
        }
        for path in sorted(draft.path.rglob("*"))
        if path.is_file() and path.name != MEASURED
    }
    content = {"kind": kind, "rows": draft.rows, "schema_version": SCHEMA_VERSION, "files": files}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
