"""Rows of a Stack Exchange dump's XML files, one at a time in bounded memory.

The files hold one ``<row …/>`` a line and nothing else. They are plain, or compressed with gzip or
Zstandard. A document type is refused, so no entity is ever expanded and no other file read; a row
without an end is given up, for the parser would hold all of it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from pipeline.errors import InputError, ResourceError

SUFFIXES: Final = ("", ".gz", ".zst")
LONGEST: Final = 16 << 20  # bytes of a row; a post has at most some 30,000 characters


class Cut(NamedTuple):
    """Where a file stopped making sense; what stood before it was read."""

    reason: str
    detail: str


class TooLong(Exception):  # noqa: N818 - reads as what it is
    """A row does not end."""


class Counted:
    """A stream that knows how far it was read, and gives up on a row that does not end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.bytes = 0
        self.ended = False
        self._row = 0  # where the last one ended

    def read(self, size: int = -1) -> bytes:
        """Read like a file.

        Raises:
            TooLong: when no row has ended for 16 MiB.
        """
        data = self._stream.read(size)
        if (end := data.rfind(b">")) >= 0:
            self._row = self.bytes + end
        self.bytes += len(data)
        self.ended = self.ended or not data
        if self.bytes - self._row > LONGEST:
            message = f"a row of more than {LONGEST >> 20} MiB"
            raise TooLong(message)
        return data


def find(folder: Path, name: str) -> Path | None:
    """Return the file ``name`` in a folder, plain or compressed, in any case of letters."""
    wanted = {f"{name.lower()}{suffix}": rank for rank, suffix in enumerate(SUFFIXES)}
    found = [path for path in folder.iterdir() if path.name.lower() in wanted and path.is_file()]
    return min(found, key=lambda path: wanted[path.name.lower()], default=None)


def rows(path: Path) -> Iterator[Mapping[str, str] | Cut]:
    """Yield the attributes of each row; last, where the file is cut or broken, a `Cut`.

    Raises:
        InputError: when the file cannot be read at all, or has a document type.
        ResourceError: when what unpacks it is not installed.
    """
    from lxml import etree  # noqa: PLC0415 - heavy, and needed by one source alone

    with _opened(path) as stream:
        counted = Counted(stream)
        try:
            yield from _parsed(counted, path)
        except etree.XMLSyntaxError as error:
            what = "cut_short" if counted.ended else "broken_xml"
            yield Cut(
                what, f"{path.name}: line {error.lineno}, {_told(counted, path)} ({error.msg})"
            )
        except TooLong as error:
            yield Cut("broken_xml", f"{path.name}: {_told(counted, path)} ({error})")
        except _unpacking_errors() as error:
            yield Cut("cut_short", f"{path.name}: {_told(counted, path)} ({error})")


def _told(counted: Counted, path: Path) -> str:
    unpacked = "" if path.suffix.lower() == ".xml" else " unpacked"
    return f"within the first {counted.bytes:,} bytes{unpacked}"


def _parsed(stream: Counted, path: Path) -> Iterator[Mapping[str, str]]:
    from lxml import etree  # noqa: PLC0415 - as above

    events = etree.iterparse(
        cast("Any", stream), events=("start", "end"), resolve_entities=False, no_network=True,
        load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    for event, element in events:
        parent = element.getparent()
        if event == "start" and parent is None and element.getroottree().docinfo.doctype:
            message = f"{path} has a document type, which no dump has: it is not read"
            raise InputError(message)
        if event == "end" and parent is not None:
            if element.tag == "row":
                yield dict(element.attrib)
            parent.remove(element)  # else the tree grows with the file


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as raw, _unpacked(raw, path) as stream:
            yield stream
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise InputError(message) from error


@contextmanager
def _unpacked(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(raw) as stream:
            yield cast("IO[bytes]", stream)
    elif suffix == ".zst":
        with _zstandard().ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
            yield stream
    else:
        yield raw


def _zstandard() -> Any:  # noqa: ANN401 - a module
    try:
        import zstandard  # noqa: PLC0415 - needed for .zst alone
    except ImportError as error:
        message = "reading .zst files needs the package zstandard: pip install zstandard"
        raise ResourceError(message) from error
    return zstandard


def _unpacking_errors() -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    try:
        return (*errors, _zstandard().ZstdError)
    except ResourceError:
        return errors
