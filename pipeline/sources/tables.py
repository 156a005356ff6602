"""Rows of a table file, each with the place it stands at for messages.

Files are streamed: a file larger than memory, or a line that is, costs no more than a document may.
A row that cannot be read is a `Fault` among the rows; one that leaves the rest of the file without
meaning is the last. A new format is one function and one line in ``READERS``.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.sources.encodings import SAMPLE, Undecodable, encoding
from pipeline.sources.opening import Bounds, Opened, Unreadable, opened, seekable, suffixes

Row = Mapping[str, Any]
Rows = Iterator[tuple[Row, str]]


class Fault(NamedTuple):
    """What could not be read: a reason to count by, where ("line 3", "" for the file), details."""

    reason: str
    where: str
    detail: str


class Want(NamedTuple):
    """What is known of a table and asked of it."""

    encoding: str = ""  # where it is known; else it is found out
    columns: tuple[str, ...] = ()  # that are needed; none: all


_ANYTHING: Final = Want()
Found = Iterator[tuple[Row, str] | Fault]
Reader = Callable[[Opened, Want], Found]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEEPEST: Final = 100  # levels of JSON
_BATCH: Final = 64  # rows of Parquet at a time


def _delimited(file: Opened, want: Want, delimiter: str) -> Found:
    csv.field_size_limit(file.item)
    lines = _ShortLines(file, want)
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        _ = reader.fieldnames  # read here: without a header no row has a meaning
    except csv.Error as error:
        yield Fault("broken", "line 1", str(error))
        return
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield Fault("broken_row", f"line {lines.number}", str(error))
            continue
        if row is None:
            return
        where = f"line {lines.number}"
        if None in row:
            yield Fault("broken_row", where, "more cells than the header has columns")
        else:
            yield row, where
        file.item_done()


class _ShortLines:
    """The lines of a file, with the number of the last one; ends where one is too long."""

    def __init__(self, file: Opened, want: Want) -> None:
        self.number = 0
        self._longest = file.item
        self._lines = _lines(file, want, newline="")

    def __iter__(self) -> _ShortLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:  # it may end inside a quoted cell or not: what follows has no meaning
            detail = f"line {self.number}: more than {self._longest:,} characters"
            raise Unreadable("too_large", detail)
        return line


def _csv(file: Opened, want: Want) -> Found:
    return _delimited(file, want, ",")


def _tsv(file: Opened, want: Want) -> Found:
    return _delimited(file, want, "\t")


def _json_lines(file: Opened, want: Want) -> Found:
    for number, line in _lines(file, want, newline="\n"):
        where = f"line {number}"
        if line is None:
            yield Fault("too_large", where, f"more than {file.item:,} characters")
        elif line.strip():
            yield _object(line, where)
        file.item_done()


def _object(line: str, where: str) -> tuple[Row, str] | Fault:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Fault("broken_row", where, f"not JSON ({error})")
    return _row(value, where)


def _row(value: Any, where: str) -> tuple[Row, str] | Fault:  # noqa: ANN401 - whatever it holds
    if isinstance(value, dict):
        return value, where
    return Fault("broken_row", where, "a row must be a JSON object")


def _json(file: Opened, want: Want) -> Found:
    import ijson  # noqa: PLC0415 - only where there is JSON

    stream = _transcoded(file, want)
    if _first_mark(stream) not in (b"[", b""):
        yield Fault("broken", "", "a JSON file must be a list of objects, one a document")
        return
    number = 0
    try:
        for value in _items(stream):
            number += 1
            yield _row(value, f"row {number}")
            file.item_done()
    except (ijson.JSONError, ValueError) as error:
        yield Fault("broken", f"after row {number}", f"not JSON ({error})")


def _items(stream: io.BufferedReader) -> Iterator[Any]:
    """Yield the elements of a JSON list.

    `ijson.items` would do, but names each level by its whole path: 100 kB of "[" take 10 GB.

    Raises:
        ValueError: for what is not JSON, or is nested too deep.
    """
    import ijson  # noqa: PLC0415 - only where there is JSON

    depth, builder = 0, None
    for event, value in ijson.basic_parse(stream, use_float=True):
        if event in ("end_array", "end_map"):
            depth -= 1
        if depth == 0 and event == "end_array":
            return
        if depth >= 1:
            builder = builder or ijson.ObjectBuilder()
            builder.event(event, value)
        if event in ("start_array", "start_map"):
            depth += 1
        if depth > _DEEPEST:
            message = f"nested more than {_DEEPEST} deep"
            raise ValueError(message)
        if depth == 1 and builder:
            yield builder.value
            builder = None


def _transcoded(file: Opened, want: Want) -> io.BufferedReader:
    """Return the stream as UTF-8 without a mark."""
    name = _encoding(file, want)
    if name == "utf-8-sig":
        file.stream.read(len(codecs.BOM_UTF8))
    if name in ("utf-8", "utf-8-sig", "ascii"):
        return file.stream
    recoder = codecs.EncodedFile(file.stream, "utf-8", name)
    return io.BufferedReader(_Recoded(recoder), 1 << 16)


class _Recoded(io.RawIOBase):
    """A `codecs` stream as one that can be buffered."""

    def __init__(self, stream: codecs.StreamRecoder) -> None:
        self._stream, self._left = stream, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._left or self._stream.read(len(buffer))
        given, self._left = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)


def _first_mark(stream: io.BufferedReader) -> bytes:
    return stream.peek(4096)[:4096].lstrip()[:1]


def _parquet(file: Opened, want: Want) -> Found:
    number = 0
    try:
        with seekable(file) as stream, pq.ParquetFile(stream) as table:
            there = set(want.columns) <= set(table.schema_arrow.names)
            needed = list(want.columns) if there else None  # all, to name them in the message
            for batch in table.iter_batches(batch_size=_BATCH, columns=needed or None):
                for row in batch.to_pylist():
                    number += 1
                    yield row, f"row {number}"
    except (OSError, ValueError, pa.ArrowException) as error:
        yield Fault("broken", f"after row {number}" if number else "", f"not Parquet ({error})")


def _lines(file: Opened, want: Want, newline: str) -> Iterator[tuple[int, str | None]]:
    """Yield the lines of a text file with their numbers; None for one longer than an item may be.

    Bytes that are not of the encoding are kept as lone surrogates, which `is_text` finds.
    """
    stream = io.TextIOWrapper(
        file.stream, _encoding(file, want), errors="surrogateescape", newline=newline
    )
    number = 0
    while line := stream.readline(file.item):
        number += 1
        if len(line) < file.item or line.endswith("\n"):
            yield number, line
            continue
        while line and not line.endswith("\n"):
            file.item_done()
            line = stream.readline(1 << 20)
        yield number, None


def _encoding(file: Opened, want: Want) -> str:
    sample = file.stream.peek(SAMPLE)
    found = want.encoding or encoding(sample, whole=False)
    if not isinstance(found, Undecodable):
        return found
    if found.reason == "binary":
        raise Unreadable(*found)
    return "utf-8"  # rows with other bytes are dropped one by one


READERS: Final[dict[str, Reader]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".tsv": _tsv,
}


def rows(path: Path, suffix: str, packing: str, bounds: Bounds, want: Want = _ANYTHING) -> Found:
    """Yield the rows of a file, and the faults among them.

    ``suffix`` is a key of ``READERS``, ``packing`` one of ``PACKINGS``. Never raises for what the
    file holds.
    """
    try:
        with opened(path, packing, bounds) as file:
            yield from READERS[suffix](file, want)
    except Unreadable as error:
        yield Fault(error.reason, "", error.detail)
    except UnicodeError as error:
        yield Fault("unknown_encoding", "", str(error)[:200])


def is_text(value: str) -> bool:
    """Say whether every character is one: no half of a pair, no byte that was not decoded."""
    return value.isascii() or not _SURROGATE.search(value)


def _strict(path: Path) -> Rows:
    """Yield every row of a file in which nothing may be missing.

    Raises:
        InputError: names the file and the line that cannot be read.
    """
    for found in rows(path, *suffixes(path.name), Bounds()):
        if isinstance(found, Fault):
            where = f", {found.where}" if found.where else ""
            message = f"{path}{where}: {found.detail}"
            raise InputError(message)
        row, where = found
        if not all(is_text(value) for value in row.values() if isinstance(value, str)):
            message = f"{path}, {where}: bytes that are no text; convert the file to UTF-8"
            raise InputError(message)
        yield row, f"{path}, {where}"


TABLES: Final[dict[str, Callable[[Path], Rows]]] = dict.fromkeys(READERS, _strict)
