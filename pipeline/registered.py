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
    """Return the digests of the registered files, and of those that ``evaluate`` names.

    Raises:
        InputError: names a file that is not there.
    """
    found = [digest(name, "leakage.registered") for name in config.leakage.registered]
    general = configuration.general_file(config)
    found += [digest(str(general), "evaluate.general")] if general else []
    for name, one in config.evaluate.sets.items():
        where = f"evaluate.sets.{name}"
        files = _files(one.path)
        found += [digest(str(file), where) for file in files] if files else [one.path]
    return found


def texts(config: DomainConfig) -> Iterator[Text]:
    """Yield every text of every registered evaluation set, and of the sets of ``evaluate``.

    Of a search only the queries: a model may well be trained on the corpus that it searches in. A
    set of the Hub is not fetched for this; evaluate checks it.

    Raises:
        InputError: names the file, and what is wrong with it.
    """
    for name in config.leakage.registered:
        yield from read(configuration.resolve(name))
    general = configuration.general_file(config)
    if general:
        yield from read(general)
    for one in config.evaluate.sets.values():
        for file in [] if one.trained_on else _files(one.path):
            if not configuration.resolve(one.path).is_dir() or file.stem == "queries":
                yield from read(file)


def _files(name: str) -> list[Path]:
    """Return the files of an evaluation set: one table, or those of a folder; none of the Hub."""
    if name.startswith("hf://"):
        return []
    path = configuration.resolve(name)
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in READERS)


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


def digest(name: str, setting: str) -> str:
    """Return the digest of a file that a setting names.

    Raises:
        InputError: names the setting when it cannot be read.
    """
    path = configuration.resolve(name)
    try:
        return file_digest(path)
    except OSError as error:
        message = f"{setting}: cannot read {path}: {error.strerror}"
        raise InputError(message) from error
