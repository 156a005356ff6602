"""A file as a stream of bytes: unpacked on the way, and never more of it than the limits allow."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, cast

import pyarrow as pa

from pipeline.sources.encodings import SAMPLE

_CHUNK: Final = 1 << 20
_RATIO_FROM: Final = 16 << 20  # unpacked bytes from which the ratio counts


class Bounds(NamedTuple):
    """How much of a file is read."""

    item: int = 20 << 20  # bytes of a whole text file, characters of a row of a table
    file: int = 100 << 30  # bytes of a file, as it is stored
    ratio: int = 200  # unpacked bytes for each packed one; logs come to 50


class Unreadable(Exception):  # noqa: N818 - reads as what it is
    """What keeps a file, or the rest of it, from being read; never leaves this room."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Guarded(io.RawIOBase):
    """A stream that counts: bytes since the last item, and unpacked bytes for each packed one."""

    def __init__(self, stream: IO[bytes], bounds: Bounds, packed: int) -> None:
        self._stream, self._bounds, self._packed = stream, bounds, packed
        self._total = self._since = 0

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def item_done(self) -> None:
        """Begin to count anew: an item came to its end."""
        self._since = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` with at most 1 MiB.

        Raises:
            Unreadable: when the packed data is broken or a limit is passed.
        """
        try:
            data = self._stream.read(min(len(buffer), _CHUNK))
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise Unreadable("broken", f"cannot be read: {error}") from error
        buffer[: len(data)] = data
        self._total += len(data)
        self._since += len(data)
        if self._packed and self._total > max(_RATIO_FROM, self._bounds.ratio * self._packed):
            detail = (
                f"{self._packed:,} bytes unpack to more than {self._bounds.ratio} times as much"
            )
            raise Unreadable("unpacks_too_large", detail)
        if self._since > 4 * self._bounds.item + 2 * _CHUNK:  # 4 bytes a character, and read ahead
            raise Unreadable("too_large", f"more than {self._bounds.item:,} bytes in one document")
        return len(data)


class Opened(NamedTuple):
    """An open file: buffered for reading, and where to say that an item came to its end."""

    stream: io.BufferedReader
    item_done: Callable[[], None]
    item: int


def _plain(stream: IO[bytes]) -> IO[bytes]:
    return stream


def _gzip(stream: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", pa.CompressedInputStream(stream, "zstd"))


PACKINGS: Final[dict[str, Callable[[IO[bytes]], IO[bytes]]]] = {
    "": _plain,
    ".gz": _gzip,
    ".zst": _zstd,
}


def suffixes(name: str) -> tuple[str, str]:
    """Return the suffix of a format and that of a packing around it: (".csv", ".gz")."""
    path = PurePosixPath(name.casefold())
    packing = path.suffix if path.suffix in PACKINGS else ""
    return PurePosixPath(path.stem).suffix if packing else path.suffix, packing


@contextmanager
def opened(path: Path, packing: str, bounds: Bounds) -> Iterator[Opened]:
    """Open a file; ``packing`` is a key of ``PACKINGS``.

    Raises:
        Unreadable: when it cannot be opened; later, from the stream, when a limit is passed.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise Unreadable("cannot_open", error.strerror or str(error)) from error
    with raw:
        size = os.fstat(raw.fileno()).st_size
        if size > bounds.file:
            raise Unreadable("too_large", f"{size:,} bytes; the limit is {bounds.file:,}")
        guarded = Guarded(PACKINGS[packing](raw), bounds, size if packing else 0)
        yield Opened(io.BufferedReader(guarded, SAMPLE), guarded.item_done, bounds.item)


def whole(opened_file: Opened) -> bytes:
    """Return all bytes of a file that is one document.

    Raises:
        Unreadable: when there are more than the limit.
    """
    data = opened_file.stream.read(opened_file.item + 1)
    if len(data) > opened_file.item:
        raise Unreadable("too_large", f"more than {opened_file.item:,} bytes in one document")
    return data


@contextmanager
def seekable(opened_file: Opened) -> Iterator[IO[bytes]]:
    """Yield the content as a file in which one can seek: unpacked on disk."""
    with tempfile.TemporaryFile() as aside:
        while chunk := opened_file.stream.read(_CHUNK):
            aside.write(chunk)
            opened_file.item_done()
        aside.seek(0)
        yield aside
