"""Lines that much of a site repeats: menus, footers, notices.

A first pass over the documents counts in how many of its group's documents each line stands, a
second one removes the lines that are common. Lines are counted by a 64-bit hash in arrays of
bounded size: when they are full, the rarest lines are forgotten. A count is therefore never too
high, and only lines that are rare where they are read can be missed (the idea of "lossy counting",
Manku & Motwani 2002, http://www.vldb.org/conf/2002/S10P03.pdf).
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Document, normalised
from pipeline.sections import CleanSettings

LIMIT: Final = 2**19  # lines that are counted at once: 8 MiB, and 30 MiB while they are sorted
_BUFFER: Final = 2**17
_FENCES: Final = ("```", "~~~")

Keys = NDArray[np.uint64]  # [lines], ascending
Counts = NDArray[np.int64]


class CommonLines(NamedTuple):
    """What was counted, less the lines that too few documents have to matter."""

    counts: dict[int, int]  # documents that have it, by key of a line or a whole text
    documents: Counter[str]  # by group

    @classmethod
    def none(cls) -> CommonLines:
        """Return what removes nothing."""
        return cls({}, Counter())


class LineCounts:
    """In how many documents of its group each line stands."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._waiting = array("Q")
        self._keys: Keys = np.empty(0, np.uint64)
        self._counts: Counts = np.empty(0, np.int64)
        self._documents: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many different lines are remembered."""
        self._count_waiting()
        return len(self._keys)

    def add(self, document: Document) -> None:
        """Count the lines of ``document``, each once."""
        self._documents[_group(document)] += 1
        self._waiting.extend(_countable(document))
        if len(self._waiting) >= _BUFFER:
            self._count_waiting()

    def common(self, settings: CleanSettings) -> CommonLines:
        """Return the lines that enough documents have to be boilerplate somewhere.

        Copies of whole documents, two or more, are among them: `strip` must know of them.
        """
        self._count_waiting()
        least = np.where(_is_whole(self._keys), 2, settings.boilerplate_documents)
        enough = self._counts >= least
        pairs = zip(self._keys[enough].tolist(), self._counts[enough].tolist(), strict=True)
        return CommonLines(dict(pairs), self._documents.copy())

    def _count_waiting(self) -> None:
        fresh, times = np.unique(np.frombuffer(self._waiting, np.uint64).copy(), return_counts=True)
        self._waiting = array("Q")
        keys, place = np.unique(np.concatenate([self._keys, fresh]), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        # Neither side has a key twice, so plain indexed addition is right.
        counts[place[: len(self._keys)]] += self._counts
        counts[place[len(self._keys) :]] += times
        self._keys, self._counts = self._most_frequent(keys, counts)

    def _most_frequent(self, keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
        if len(keys) <= self._limit:
            return keys, counts
        half = self._limit // 2
        rare = np.partition(counts, len(counts) - half)[len(counts) - half]
        return keys[counts > rare], counts[counts > rare]


def strip(document: Document, common: CommonLines, settings: CleanSettings) -> tuple[Document, int]:
    """Return ``document`` without the lines that its group repeats, and how many they were.

    A text of one line is what its author wrote, not a page, and stays whole. So do copies of one
    document: they count as one here, whatever they are many of. Headings stay where documents are
    cut by them.
    """
    size = common.documents[_group(document)]
    if size < settings.boilerplate_documents:
        return document, 0
    lines = document.text.splitlines(keepends=True)
    keys = [_key(document, line) for line in lines]
    if sum(key is not None for key in keys) < 2:
        return document, 0
    copies = max(common.counts.get(_whole_key(document), 1) - 1, 0)
    least = settings.boilerplate_share * (size - copies)
    least = max(least, settings.boilerplate_documents - 1) + copies
    kept = [
        line
        for line, key in zip(lines, keys, strict=True)
        if key is None
        or common.counts.get(key, 0) <= least
        or (settings.chunk != "none" and line.lstrip().startswith("#"))
    ]
    if len(kept) == len(lines):
        return document, 0
    return document.model_copy(update={"text": "".join(kept)}), len(lines) - len(kept)


def _countable(document: Document) -> Iterator[int]:
    keys = [_key(document, line) for line in document.text.splitlines()]
    lines = [key for key in keys if key is not None]
    if len(lines) >= 2:
        yield from dict.fromkeys(lines)
        yield _whole_key(document)


def _key(document: Document, line: str) -> int | None:
    """Return what stands for a line in its group; none for rules and fences, which say nothing."""
    line = line.strip()
    if line.startswith(_FENCES) or not any(map(str.isalnum, line)):
        return None
    return _hash("line", _group(document), normalised(line)) & ~1


def _whole_key(document: Document) -> int:
    return _hash("text", _group(document), normalised(document.text)) | 1


def _is_whole(keys: Keys) -> NDArray[np.bool_]:
    return (keys & np.uint64(1)).astype(bool)


def _hash(*parts: str) -> int:
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _group(document: Document) -> str:
    return document.group or document.source
