"""Labelled items: texts with a class each, to classify and to cluster."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline import registered
from pipeline.errors import InputError
from pipeline.records import digest_of

# Columns by what they hold; the first that a table has is read.
TEXT: Final = ("text", "sentence", "sentences")
LABEL: Final = ("label", "label_name", "labels", "intent", "category", "class")
TRAIN: Final = "train"
TEST: Final = ("test", "dev", "validation", "valid")


class Item(NamedTuple):
    """A text and its class."""

    text: str
    label: str


class ItemSet(NamedTuple):
    """Items to learn classes from, and items to test on; the latter are clustered too."""

    name: str
    train: tuple[Item, ...]
    test: tuple[Item, ...]


class _Row(NamedTuple):
    item: Item
    split: str


def is_items(row: Mapping[str, Any]) -> bool:
    """Return whether a table with this row holds labelled items, and not pairs."""
    return any(name in row for name in TEXT) and any(name in row for name in LABEL)


def load(name: str, path: Path) -> ItemSet:
    """Return the items of a table with columns text, label and, if it has one, split.

    Raises:
        InputError: when it cannot be read, a row lacks text or label, or fewer than two classes
            are there to learn or to test.
    """
    reader = registered.READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        message = f"{path} is no table of items: it is none of {', '.join(registered.READERS)}"
        raise InputError(message)
    try:
        rows = [_row(row, f"{path}, row {number}") for number, row in enumerate(reader(path), 1)]
    except (OSError, ValueError, csv.Error, AttributeError, TypeError) as error:
        message = f"cannot read the items of {path}: {error}"
        raise InputError(message) from error
    return _checked(_split(name, rows), str(path))


def of_rows(name: str, rows: Iterable[tuple[str, str, str]]) -> ItemSet:
    """Return items of (text, label, split) rows; see `load`.

    Raises:
        InputError: when fewer than two classes are there to learn or to test.
    """
    found = [_Row(Item(text, label), split) for text, label, split in rows]
    return _checked(_split(name, found), name)


def _row(row: Mapping[str, Any], where: str) -> _Row:
    text, label = (_value(row, names, where) for names in (TEXT, LABEL))
    if not isinstance(text, str) or not text or label in (None, ""):
        message = f"{where}: needs a text and a label"
        raise InputError(message)
    return _Row(Item(text, str(label)), str(row.get("split") or ""))


def _value(row: Mapping[str, Any], names: Sequence[str], where: str) -> Any:  # noqa: ANN401
    for name in names:
        if name in row:
            return row[name]
    message = f"{where}: none of the columns {', '.join(names)} is there, but {', '.join(row)}"
    raise InputError(message)


def _split(name: str, rows: Sequence[_Row]) -> ItemSet:
    splits = {row.split for row in rows}
    tested = next((split for split in TEST if split in splits), None)
    if TRAIN not in splits or tested is None:
        return _halves(name, [row.item for row in rows])
    train, test = (tuple(r.item for r in rows if r.split == one) for one in (TRAIN, tested))
    return ItemSet(name, train, test)


def _halves(name: str, items: Sequence[Item]) -> ItemSet:
    """Split every class in two by the digests of its texts; equal texts stay together."""
    by_class: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        by_class.setdefault(item.label, {}).setdefault(item.text, []).append(item)
    halves: tuple[list[Item], list[Item]] = ([], [])
    for texts in by_class.values():
        for place, text in enumerate(sorted(texts, key=digest_of)):
            halves[place % 2].extend(texts[text])
    return ItemSet(name, *(tuple(half) for half in halves))


def _checked(items: ItemSet, where: str) -> ItemSet:
    for part, found in (("to learn from", items.train), ("to test on", items.test)):
        classes = {item.label for item in found}
        if len(classes) < 2:
            message = (
                f"{where} has {len(found):,} items of {len(classes)} classes {part}: give two "
                f"classes or more, a column split of {TRAIN} and {TEST[0]}, or no such column"
            )
            raise InputError(message)
    return items
