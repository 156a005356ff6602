"""Text in files, of this machine or at an fsspec URL: documents, or tables with a column of text.

``collect.path`` names a file, a folder or a glob. A text, Markdown, HTML, PDF or Word file is one
document; a table (CSV, TSV, JSON, JSON lines, Parquet) is a document a row; ``.gz`` and ``.zst``
around them are taken off. What cannot be read is dropped with its reason, file and line, and the
rest is read; a column that is missing everywhere is an error, because then the settings are wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from pipeline.disk import file_digest
from pipeline.errors import InputError
from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings
from pipeline.sources import columns, places, remote
from pipeline.sources.encodings import Undecodable, decoded
from pipeline.sources.extraction import Extractor, Failed, Kind, Limits
from pipeline.sources.extraction.plain import markdown
from pipeline.sources.kept import Kept
from pipeline.sources.opening import Bounds, Unreadable, opened, suffixes, whole
from pipeline.sources.places import DOCUMENTS, Entry
from pipeline.sources.tables import Fault, Found, Want, rows

SOURCE: Final = "files"
_MIB: Final = 1 << 20
_RAGGED: Final = frozenset({".json", ".jsonl"})  # whose rows may differ in their columns
_PATIENCE: Final = 100  # rows of those without a document after which the rest is not read


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Copy what is new at a URL to the shelf; files of this machine are where they are.

    Raises:
        InputError: when the place cannot be listed.
        ResourceError: when a package for it is missing, or the disk is full.
    """
    if places.is_remote(settings.path):
        remote.refresh(settings.path, shelf, _bounds(settings).file)


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:
    """Yield the documents of every file that ``collect.path`` names, in order of their names.

    Raises:
        InputError: when there is no file, or none has the columns asked for (names those it has).
    """
    misnamed = ""
    other = False
    limits = Limits(
        seconds=settings.files.seconds,
        memory=settings.files.memory_mb * _MIB,
        size=_bounds(settings).item,
    )
    with Extractor(limits) as extractor:
        reading = Reading(settings, Kept(shelf / "extracted", extractor))
        for entry in _entries(settings, shelf):
            for found in reading.documents(entry):
                if isinstance(found, Dropped) and found.reason == columns.MISSING:
                    misnamed = misnamed or found.detail
                else:
                    other = True
                yield found
    if misnamed and not other:
        raise InputError(misnamed)


def fingerprint(settings: CollectSettings, shelf: Path) -> str:
    """Return the digest of the files' names, relative to the path given, and of their content.

    Raises:
        InputError: when there is no file.
    """
    whole_digest = hashlib.sha256()
    for entry in _entries(settings, shelf):
        try:
            digest = file_digest(entry.path)
        except OSError as error:  # which `read` counts
            digest = entry.problem or error.strerror or "not readable"
        whole_digest.update(f"{entry.name}\0{digest}\n".encode())
    return whole_digest.hexdigest()


class Reading:
    """Reads one file after the other, under the same settings."""

    def __init__(self, settings: CollectSettings, kept: Kept) -> None:
        self._settings, self._kept = settings, kept
        self._columns = columns.wanted(settings)
        self._bounds = _bounds(settings)

    def documents(self, entry: Entry) -> Iterator[Document | Dropped]:
        """Yield the documents of a file, and why there are no more."""
        suffix, packing = suffixes(entry.name)
        if entry.problem:
            yield _dropped(entry, entry.name, Fault("cannot_fetch", "", entry.problem))
        elif suffix in DOCUMENTS:
            yield self._document(entry, cast("Kind", DOCUMENTS[suffix]), packing)
        else:
            want = Want(self._settings.files.encoding, tuple(dict.fromkeys(self._columns.values())))
            found = rows(entry.path, suffix, packing, self._bounds, want)
            yield from self._rows(entry, found, _PATIENCE if suffix in _RAGGED else 1)

    def _rows(self, entry: Entry, found: Found, patience: int) -> Iterator[Document | Dropped]:
        good = 0
        for number, item in enumerate(found, start=1):
            name = f"{entry.name}#{number}"
            values = item if isinstance(item, Fault) else columns.fields(*item, self._columns)
            if not isinstance(values, Fault):
                good += 1
                given = _provenance(entry, name)
                yield columns.document(values, self._settings, **given)
                continue
            yield _dropped(entry, name if values.where else entry.name, values)
            if not good and values.reason == columns.MISSING and number >= patience:
                return

    def _document(self, entry: Entry, kind: Kind, packing: str) -> Document | Dropped:
        try:
            with opened(entry.path, packing, self._bounds) as file:
                data = whole(file)
        except Unreadable as error:
            return _dropped(entry, entry.name, Fault(error.reason, "", error.detail))
        found = self._text(data, kind)
        if isinstance(found, Undecodable | Failed):
            return _dropped(entry, entry.name, Fault(found.reason, "", found.detail))
        values = {"text": found[0], "title": found[1]}
        return columns.document(values, self._settings, **_provenance(entry, entry.name))

    def _text(self, data: bytes, kind: Kind) -> tuple[str, str] | Undecodable | Failed:
        """Return the text and the title of a file's content."""
        if kind not in ("text", "markdown"):
            found = self._kept.extract(data, kind)
            if isinstance(found, Failed):
                return found
            return (found.text, found.title) if found.text else Failed("no_text", "links alone")
        text = decoded(data, forced=self._settings.files.encoding)
        if isinstance(text, Undecodable):
            return text
        return markdown(text) if kind == "markdown" else (text, "")


def _entries(settings: CollectSettings, shelf: Path) -> list[Entry]:
    if places.is_remote(settings.path):
        return remote.entries(settings.path, shelf)
    return places.local(settings.path)


def _bounds(settings: CollectSettings) -> Bounds:
    limits = settings.files
    return Bounds(item=int(limits.max_document_mb * _MIB), file=int(limits.max_file_gb * 1024**3))


def _provenance(entry: Entry, name: str) -> dict[str, str]:
    return {"name": name, "source": SOURCE, "url": entry.url, "fetched_at": entry.fetched_at}


def _dropped(entry: Entry, name: str, fault: Fault) -> Dropped:
    where = f", {fault.where}" if fault.where else ""
    detail = places.printable(f"{entry.shown}{where}: {fault.detail}")
    return Dropped(record_id=name, stage="collect", reason=fault.reason, detail=detail)
