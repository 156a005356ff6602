"""Rows of a table file, each with the place it stands at for messages.

A new format is one function and one line in ``TABLES``.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError

Row = Mapping[str, Any]
Rows = Iterator[tuple[Row, str]]

_LONGEST_CELL: Final = 1 << 27  # characters; the csv module's own limit is 128 KiB


def read_text(path: Path) -> str:
    """Return the content of a text file.

    Raises:
        InputError: when it cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"cannot read {path}: byte {error.start} is not UTF-8; convert the file to UTF-8"
        raise InputError(message) from error
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise InputError(message) from error


def cell(row: Row, column: str, where: str) -> str:
    """Return the text in ``column`` of ``row``, "" when the cell is empty.

    Raises:
        InputError: when there is no such column (names the nearest), or it does not hold text.
    """
    if column not in row:
        known = [str(name) for name in row]
        nearest = difflib.get_close_matches(column, known, n=3, cutoff=0.4) or known
        message = f"{where}: no column {column!r}; set collect.text_column, e.g. {_named(nearest)}"
        raise InputError(message)
    value = row[column]
    if value is not None and not isinstance(value, str):
        message = f"{where}: {column!r} holds {type(value).__name__}, not text"
        raise InputError(message)
    return value or ""


def _named(columns: list[str]) -> str:
    return ", ".join(repr(name) for name in columns[:5]) or "none: the table has no columns"


def _delimited(path: Path, delimiter: str) -> Rows:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(
        io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True
    )
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row:
                message = f"{where}: more cells than the header has columns"
                raise InputError(message)
            yield row, where
    except csv.Error as error:
        message = f"{path}, line {reader.reader.line_num}: {error}"
        raise InputError(message) from error


def _csv(path: Path) -> Rows:
    return _delimited(path, ",")


def _tsv(path: Path) -> Rows:
    return _delimited(path, "\t")


def _json_lines(path: Path) -> Rows:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _object(_parsed(line, where), where), where


def _json(path: Path) -> Rows:
    rows = _parsed(read_text(path), str(path))
    if not isinstance(rows, list):
        message = f"{path}: a JSON file must be a list of objects, one a document"
        raise InputError(message)
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        yield _object(row, where), where


def _parsed(text: str, where: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{where}: not JSON ({error})"
        raise InputError(message) from error


def _object(value: Any, where: str) -> Row:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        message = f"{where}: a row must be a JSON object"
        raise InputError(message)
    return value


def _parquet(path: Path) -> Rows:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield row, f"{path}, row {number}"
    except (OSError, pa.ArrowException) as error:
        message = f"cannot read {path} as Parquet: {error}"
        raise InputError(message) from error


TABLES: Final[dict[str, Callable[[Path], Rows]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".tsv": _tsv,
}
