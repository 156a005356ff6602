"""Evaluation sets registered in a project: files of texts that models are measured with.

Which columns hold texts is known by their names. Every text keeps the place it stands at.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline import config as configuration
from pipeline.config import DomainConfig
from pipeline.disk import file_digest
from pipeline.errors import InputError

# Names of columns that hold texts, whole or before a number ("text", "text_2", "sentence1").
COLUMNS: Final = (
    "sentence", "text", "query", "question", "passage", "document", "positive", "negative",
    "anchor", "answer", "premise", "hypothesis", "title", "body",
)  # fmt: skip
_ROWS: Final = 1_024

Row = Mapping[str, Any]


class Text(NamedTuple):
    """A text and where it stands, in words."""

    text: str
    where: str


def identity(config: DomainConfig) -> list[str]:
    """Return the digests of the registered files.

    Raises:
        InputError: names a file that is not there.
    """
    return [_digest(name) for name in config.leakage.registered]


def texts(config: DomainConfig) -> Iterator[Text]:
    """Yield every text of every registered evaluation set.

    Raises:
        InputError: names the file, and what is wrong with it.
    """
    for name in config.leakage.registered:
        yield from read(configuration.resolve(name))


def read(path: Path) -> Iterator[Text]:
    """Yield the texts of one evaluation set.

    Raises:
        InputError: when it cannot be read or no column has the name of a text.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        message = f"leakage.registered: {path} is none of {', '.join(READERS)}"
        raise InputError(message)
    seen: set[str] = set()
    found = False
    try:
        for number, row in enumerate(reader(path), 1):
            seen |= set(row)
            for text in _texts(row):
                found = True
                yield Text(text, f"{path}, row {number}")
    except (OSError, ValueError, csv.Error, AttributeError, TypeError) as error:
        message = f"cannot read the evaluation set {path}: {error}"
        raise InputError(message) from error
    if not found:
        message = (
            f"{path} holds no text: its columns are {', '.join(sorted(seen)) or 'none'}; those "
            f"of texts are called {', '.join(COLUMNS)}, with or without a number"
        )
        raise InputError(message)


def _texts(row: Row) -> Iterator[str]:
    for name, value in row.items():
        if str(name).lower().rstrip("0123456789").rstrip("_").removesuffix("s") in COLUMNS:
            values = value if isinstance(value, list) else [value]
            yield from (text for text in values if isinstance(text, str) and text.strip())


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        yield from (json.loads(line) for line in stream if line.strip())


def _json(path: Path) -> Iterator[Row]:
    yield from json.loads(path.read_text(encoding="utf-8-sig"))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - few projects register such a file

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            yield from batch.to_pylist()


READERS: Final[dict[str, Callable[[Path], Iterator[Row]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


def _digest(name: str) -> str:
    path = configuration.resolve(name)
    try:
        return file_digest(path)
    except OSError as error:
        message = f"leakage.registered: cannot read {path}: {error.strerror}"
        raise InputError(message) from error
