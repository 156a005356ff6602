"""The gold set: pairs with a graded similarity, scored with care, for measuring only.

A CSV with the columns sentence1, sentence2, score and split ("dev" chooses settings, "test" gives
the verdict); name1, name2 and category are kept when they are there.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from pipeline import config as configuration
from pipeline.config import DomainConfig
from pipeline.errors import InputError
from pipeline.records import Record, pair_id

REQUIRED: Final = ("sentence1", "sentence2", "score", "split")
OPTIONAL: Final = ("name1", "name2", "category")
GENERAL_SCORE: Final = 5.0


class GoldPair(Record):
    """Two texts and how similar they are, in [0, 1]."""

    id: str
    sentence1: str = Field(min_length=1)
    sentence2: str = Field(min_length=1)
    score: float = Field(ge=0.0, le=1.0)
    split: Literal["dev", "test"]
    name1: str = ""
    name2: str = ""
    category: str = ""


def identity(config: DomainConfig) -> str:
    """Return the digest of the gold file's content and its scale, "" when there is none."""
    if not config.evaluate.gold:
        return ""
    content = _read_text(configuration.resolve(config.evaluate.gold))
    return f"{hashlib.sha256(content.encode()).hexdigest()}/{config.evaluate.max_score!r}"


def load(config: DomainConfig) -> list[GoldPair]:
    """Return the gold pairs of a domain, scores scaled to [0, 1]; empty when it names no file.

    Raises:
        InputError: names the file, the line and what is wrong with it.
    """
    if not config.evaluate.gold:
        return []
    return read(configuration.resolve(config.evaluate.gold), config.evaluate.max_score)


def general(config: DomainConfig) -> list[GoldPair]:
    """Return the pairs of general text that a model must not forget, scores from 0 to 5 scaled.

    Raises:
        InputError: names the file, the line and what is wrong with it.
    """
    path = configuration.general_file(config)
    return read(path, GENERAL_SCORE) if path else []


def read(path: Path, max_score: float) -> list[GoldPair]:
    """Return the pairs of a gold file, scores scaled to [0, 1].

    Raises:
        InputError: names the file, the line and what is wrong with it.
    """
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
    if missing:
        message = f"{path}: no column {', '.join(missing)}; a gold file has {', '.join(REQUIRED)}"
        raise InputError(message)
    pairs: dict[str, GoldPair] = {}
    for row in reader:
        pair = _gold_pair(row, max_score, f"{path}, line {reader.line_num}")
        if pair.id in pairs:
            message = f"{path}, line {reader.line_num}: this pair stands in the file twice"
            raise InputError(message)
        pairs[pair.id] = pair
    return list(pairs.values())


def _gold_pair(row: dict[str, str], max_score: float, where: str) -> GoldPair:
    try:
        values = {name: row[name] for name in (*REQUIRED, *OPTIONAL) if row.get(name)}
        values["id"] = pair_id(row["sentence1"], row["sentence2"])
        return GoldPair.model_validate(values | {"score": float(row["score"]) / max_score})
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        detail = f"{where}: needs two texts, a score from 0 to {max_score:g} and split dev or test"
        raise InputError(detail) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the gold file {path}: {error}"
        raise InputError(message) from error
