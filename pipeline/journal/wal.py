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
_MAGIC: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}  # the order of bytes in checksums
_WORDS: Final = np.uint32
Words = npt.NDArray[np.uint32]


class Frame(NamedTuple):
    """A page as it is after a change; ``commits``: the last one of a transaction."""

    page: int
    commits: bool
    data: bytes


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
    behind = slice(_whole_frames(parts), None)
    commits = _of_this_log(parts)[behind] & (parts.heads[behind, 1] != 0)
    return "damaged" if commits.sum() > 1 else "torn" if commits.any() else "whole"


def frames(log: bytes) -> Iterator[Frame]:
    """Yield the frames that belong to the log, up to the last commit, broken ones included."""
    parts = _parts(log)
    if parts is None:
        return
    mine = np.flatnonzero(_of_this_log(parts))
    commits = [at for at in mine if parts.heads[at, 1]]
    for at in mine:
        if commits and at <= commits[-1]:
            page, size = (int(number) for number in parts.heads[at, :2])
            yield Frame(page, bool(size), parts.frames[at, FRAME_BYTES:].tobytes())


def _parts(log: bytes) -> _Log | None:
    """Return the log taken apart; None where its header is broken."""
    if len(log) < HEADER_BYTES:
        return None
    magic, _, size = struct.unpack(">3I", log[:12])
    header = np.frombuffer(log[:HEADER_BYTES], ">u4").astype(_WORDS)
    order = _MAGIC.get(magic, "")
    if (
        not order
        or _checksums(log[:24], order, np.zeros(2, _WORDS)).tolist() != header[6:].tolist()
    ):
        return None
    length = FRAME_BYTES + size
    count = (len(log) - HEADER_BYTES) // length
    slots = np.frombuffer(log, np.uint8, count * length, HEADER_BYTES).reshape(count, length)
    heads = slots[:, :FRAME_BYTES].copy().view(">u4").astype(_WORDS)
    return _Log(order, header[4:6], header[6:], heads, slots)


def _of_this_log(parts: _Log) -> npt.NDArray[np.bool_]:
    """Return which frames are no remains of an earlier log; one salt may be what is broken."""
    belongs: npt.NDArray[np.bool_] = (parts.heads[:, 2:4] == parts.salts).any(axis=1)
    return belongs


def _whole_frames(parts: _Log) -> int:
    """Return the number of frames before the first broken one."""
    summed = np.concatenate([parts.frames[:, :8], parts.frames[:, FRAME_BYTES:]], axis=1)
    words = np.ascontiguousarray(summed).view(parts.order).astype(_WORDS)
    power, weights = _weights(words.shape[1] // 2)
    added = np.stack([(words * weights[row]).sum(axis=1, dtype=_WORDS) for row in (0, 1)], axis=1)
    sums = parts.sums
    for at, head in enumerate(parts.heads):
        sums = (power * sums).sum(axis=1, dtype=_WORDS) + added[at]
        if (head[2:4] != parts.salts).any() or (head[4:6] != sums).any():
            return at
    return len(parts.heads)


def _checksums(data: bytes, order: str, sums: Words) -> Words:
    words = np.frombuffer(data, order).astype(_WORDS)
    power, weights = _weights(len(words) // 2)
    total: Words = (power * sums).sum(axis=1, dtype=_WORDS) + (words * weights).sum(
        axis=1, dtype=_WORDS
    )
    return total


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
