"""The rows in a SQLite file, read without SQLite: what a damaged file still holds.

Every page is looked at on its own, so a broken one costs what is on it and nothing else. The pages
are those of a journal: 4,096 bytes, of which the last 8 are a checksum.

Format: https://www.sqlite.org/fileformat2.html (§1.6 pages, §2.1 records)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.journal import wal

PAGE_BYTES: Final = wal.PAGE_BYTES
CHECKSUM_BYTES: Final = 8
_USABLE: Final = PAGE_BYTES - CHECKSUM_BYTES
_LEAF: Final = 0x0D  # of a table
_FIRST_PAGE_HEADER: Final = 100
_LARGEST_LOCAL: Final = _USABLE - 35  # bytes of a row on its page; of a longer one at least:
_LEAST_LOCAL: Final = (_USABLE - 12) * 32 // 255 - 23
_ON_OVERFLOW: Final = _USABLE - 4
_LONGEST_ROW: Final = 1 << 30
# Numbers by serial type: bytes, of which 7 and what is above 11 are no integers.
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)

Value = str | bytes | int | float | None


class Row(NamedTuple):
    """The values of a row; ``whole`` when every page that it is on passes its checksum."""

    values: tuple[Value, ...]
    whole: bool


class _BrokenError(Exception):
    """Bytes that are no row."""


class Pages:
    """The pages of a file, with what its write-ahead log says of them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        log = Path(f"{path}-wal")
        frames = list(wal.frames(log.read_bytes())) if log.exists() else []
        self._changed = {frame.page: frame.data for frame in frames if frame.whole}
        self._loose = [frame.data for frame in frames if not frame.whole]
        self._count = max([-(-path.stat().st_size // PAGE_BYTES), *self._changed])
        self._broken: set[int] = set()

    @property
    def broken(self) -> int:
        """How many of the pages that were read do not pass their checksum."""
        return len(self._broken) + len(self._loose)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self) -> Iterator[Row]:
        """Yield what can be read as a row, of whatever table; a row may come more than once."""
        for number in range(1, self._count + 1):
            page = self._page(number)
            yield from self._on(page, number, whole=number not in self._broken)
        for page in self._loose:
            yield from self._on(page, 0, whole=False)

    def _on(self, page: bytes, number: int, *, whole: bool) -> Iterator[Row]:
        """Yield the rows on a page; of a broken one, what looks like a row anywhere on it."""
        start = _FIRST_PAGE_HEADER if number == 1 else 0
        places: Iterable[int] = range(len(page))
        if whole:
            kind, _, cells = struct.unpack_from(">BHH", page, start)
            places = struct.unpack_from(f">{cells if kind == _LEAF else 0}H", page, start + 8)
        for at in places:
            with suppress(_BrokenError, IndexError, UnicodeDecodeError, struct.error):
                yield self._row(page, at, whole=whole)

    def _page(self, number: int) -> bytes:
        """Return a page; what the disk does not give of it is zeros."""
        page = self._changed.get(number)  # in the log, where its frame answers for it
        if page is not None:
            return page
        try:
            self._file.seek((number - 1) * PAGE_BYTES)
            page = self._file.read(PAGE_BYTES)
        except OSError:
            page = b""
        if len(page) < PAGE_BYTES or not is_whole(page):
            self._broken.add(number)
        return page.ljust(PAGE_BYTES, b"\0")

    def _row(self, page: bytes, at: int, *, whole: bool) -> Row:
        size, at = _varint(page, at)
        _, at = _varint(page, at)  # the row's number
        if size > _LONGEST_ROW:
            raise _BrokenError
        local = _local(size)
        payload = page[at : min(at + local, _USABLE)]
        if local < size:
            pointer = int.from_bytes(page[at + local : at + local + 4], "big")
            rest, rest_whole = self._overflow(pointer, size - local)
            payload, whole = payload + rest, whole and rest_whole
        if len(payload) != size:
            raise _BrokenError
        return Row(tuple(_values(payload)), whole)

    def _overflow(self, number: int, size: int) -> tuple[bytes, bool]:
        """Return the rest of a long row, and whether its pages are whole."""
        parts, whole = [], True
        for _ in range(-(-size // _ON_OVERFLOW)):
            if not 0 < number <= self._count:
                raise _BrokenError
            page = self._page(number)
            whole = whole and number not in self._broken
            parts.append(page[4:_USABLE])
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts)[:size], whole


def is_whole(page: bytes) -> bool:
    """Return whether a page passes the checksum at its end."""
    found = wal.checksum(page[:-CHECKSUM_BYTES], "<u4", (0, 0))
    return found == struct.unpack("<2I", page[-CHECKSUM_BYTES:])


def _local(size: int) -> int:
    """Return how many bytes of a row are on its own page."""
    if size <= _LARGEST_LOCAL:
        return size
    fitting = _LEAST_LOCAL + (size - _LEAST_LOCAL) % _ON_OVERFLOW
    return fitting if fitting <= _LARGEST_LOCAL else _LEAST_LOCAL


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    value = 0
    for step in range(9):
        byte = data[at + step]
        if step == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    raise _BrokenError


def _values(payload: bytes) -> Iterator[Value]:
    end, at = _varint(payload, 0)
    types = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    if at != end:
        raise _BrokenError
    for kind in types:
        size = _size(kind)
        data = payload[at : at + size]
        if len(data) != size:
            raise _BrokenError
        yield _value(kind, data)
        at += size
    if at != len(payload):
        raise _BrokenError


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    if kind in (10, 11):
        raise _BrokenError
    sizes: Sequence[int] = (*_INTEGER_BYTES, 8, 0, 0)
    return sizes[kind]


def _value(kind: int, data: bytes) -> Value:
    if kind >= 12:
        return data.decode() if kind % 2 else data
    if kind == 0:
        return None
    if kind == 7:
        (number,) = struct.unpack(">d", data)
        return float(number)
    return kind - 8 if kind in (8, 9) else int.from_bytes(data, "big", signed=True)
