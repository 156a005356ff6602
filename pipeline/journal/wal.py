"""SQLite's write-ahead log, read without SQLite: whether it is whole, and what it holds.

SQLite reads a log up to the first frame that fails its checksum and takes that for the end, since
a power cut may have stopped it there. A bit that flipped in the middle thus undoes, without a word,
all that was committed after it. Every transaction is synced before the next begins, so a power cut
harms the last one only: a broken frame with a later transaction behind it is damage.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24  # before each page
PAGE_BYTES: Final = 4_096
_MAGIC: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}  # the order of bytes in checksums
_WORDS: Final = np.uint32
Words = npt.NDArray[np.uint32]


class Frame(NamedTuple):
    """A page after a change; of one that is not ``whole``, number and data may be wrong."""

    page: int
    data: bytes
    whole: bool


class _Log(NamedTuple):
    """A log taken apart: one row for each frame."""

    order: str
    salts: Words  # two
    sums: Words  # two, of the header
    heads: Words  # six numbers a frame: page, size at a commit, salts, checksum
    frames: npt.NDArray[np.uint8]  # frame headers and pages


def state(log: bytes) -> Literal["whole", "torn", "damaged"]:
    """Return whether SQLite will find all that was committed.

    "torn": the last transaction is broken, as a power cut before it counted may leave it.
    """
    if len(log) <= HEADER_BYTES + FRAME_BYTES:
        return "whole"
    parts = _parts(log)
    if parts is None:
        return "damaged"
    whole = _whole(parts)
    behind = slice(len(whole) if whole.all() else int(whole.argmin()), None)
    commits = _of_this_log(parts)[behind] & (parts.heads[behind, 1] != 0)
    return "damaged" if commits.sum() > 1 else "torn" if commits.any() else "whole"


def frames(log: bytes) -> Iterator[Frame]:
    """Yield the frames of the log up to the last commit, broken ones included."""
    parts = _parts(log) or _without_header(log)
    if parts is None:
        return
    mine, whole = _of_this_log(parts), _whole(parts)
    commits = np.flatnonzero(mine & (parts.heads[:, 1] != 0))
    for at in np.flatnonzero(mine):
        if len(commits) and at <= commits[-1]:
            data = parts.frames[at, FRAME_BYTES:].tobytes()
            yield Frame(int(parts.heads[at, 0]), data, bool(whole[at]))


def _parts(log: bytes) -> _Log | None:
    """Return the log taken apart; None where its header is broken."""
    if len(log) < HEADER_BYTES:
        return None
    magic, _, size, *rest = struct.unpack(">8I", log[:HEADER_BYTES])
    order = _MAGIC.get(magic, "")
    if not order or checksum(log[:24], order, (0, 0)) != tuple(rest[3:]):
        return None
    return _taken_apart(log, size, order)._replace(
        salts=np.array(rest[1:3], _WORDS), sums=np.array(rest[3:], _WORDS)
    )


def _without_header(log: bytes) -> _Log | None:
    """Return a log whose header is broken, by the salts of its first frame."""
    if len(log) < HEADER_BYTES + FRAME_BYTES + PAGE_BYTES:
        return None
    parts = _taken_apart(log, PAGE_BYTES, "<u4")
    return parts._replace(salts=parts.heads[0, 2:4])


def _taken_apart(log: bytes, size: int, order: str) -> _Log:
    length = FRAME_BYTES + size
    count = (len(log) - HEADER_BYTES) // length
    slots = np.frombuffer(log, np.uint8, count * length, HEADER_BYTES).reshape(count, length)
    heads = slots[:, :FRAME_BYTES].copy().view(">u4").astype(_WORDS)
    nothing = np.zeros(2, _WORDS)
    return _Log(order, nothing, nothing, heads, slots)


def _of_this_log(parts: _Log) -> npt.NDArray[np.bool_]:
    """Return which frames are no remains of an earlier log; one salt may be what is broken."""
    belongs: npt.NDArray[np.bool_] = (parts.heads[:, 2:4] == parts.salts).any(axis=1)
    return belongs


def _whole(parts: _Log) -> npt.NDArray[np.bool_]:
    """Return which frames follow from the frame before, as checksum and salts say."""
    summed = np.concatenate([parts.frames[:, :8], parts.frames[:, FRAME_BYTES:]], axis=1)
    words = np.ascontiguousarray(summed).view(parts.order).astype(_WORDS)
    power, weights = _weights(words.shape[1] // 2)
    before = np.concatenate([parts.sums[None], parts.heads[:-1, 4:6]])
    same = parts.heads[:, 2:4] == parts.salts
    for row in (0, 1):
        sums = (before * power[row]).sum(axis=1, dtype=_WORDS)
        sums += (words * weights[row]).sum(axis=1, dtype=_WORDS)
        same[:, row] &= sums == parts.heads[:, 4 + row]
    whole: npt.NDArray[np.bool_] = same.all(axis=1)
    return whole


def checksum(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """Return the two sums that SQLite makes of ``data``, whose length is a multiple of 8 bytes."""
    words = np.frombuffer(data, order).astype(_WORDS)
    power, weights = _weights(len(words) // 2)
    before = (power * np.array(start, _WORDS)).sum(axis=1, dtype=_WORDS)
    one, two = before + (words * weights).sum(axis=1, dtype=_WORDS)
    return int(one), int(two)


@cache
def _weights(steps: int) -> tuple[Words, Words]:
    """Return the checksum of ``steps`` pairs of words as sums that numpy can do at once.

    A step is s1 += x1 + s2; s2 += x2 + s1, modulo 2³², which is linear in all of them.

    Returns:
        What becomes of the two sums (2, 2), and what each word adds to them (2, 2·steps).
    """
    step: Any = np.array([[1, 1], [1, 2]], _WORDS)
    power: Words = np.eye(2, dtype=_WORDS)
    weights = np.zeros((2, 2 * steps), _WORDS)
    enter = np.array([[1, 0], [1, 1]], _WORDS)  # x1 enters both sums, x2 the second only
    for at in range(steps - 1, -1, -1):
        weights[:, 2 * at : 2 * at + 2] = power @ enter
        power = power @ step
    return power, weights
