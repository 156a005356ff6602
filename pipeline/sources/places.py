"""Which files `collect.path` names: a file, a folder or a glob, here or at an fsspec URL.

A name is relative to the path given and only ever a name: what is opened is a path that this
machine listed itself, and what comes from elsewhere is stored under a digest.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pipeline import config as configuration
from pipeline.errors import InputError
from pipeline.sources.opening import suffixes
from pipeline.sources.tables import READERS

DOCUMENTS: Final = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}
SUFFIXES: Final = frozenset(DOCUMENTS) | frozenset(READERS)


class Entry(NamedTuple):
    """A file to read: its name, where its bytes are, and where they came from."""

    name: str
    path: Path
    url: str = ""
    fetched_at: str = ""
    problem: str = ""  # why there are no bytes

    @property
    def shown(self) -> str:
        """What a message calls it."""
        return self.url or str(self.path)


def is_remote(path: str) -> bool:
    """Say whether ``path`` is a URL of another place than this machine's files."""
    return "://" in path and not path.startswith("file://")


def is_readable(name: str) -> bool:
    """Say whether a file's name says that its format is known."""
    return suffixes(name)[0] in SUFFIXES


def is_hidden(name: str) -> bool:
    """Say whether a file, or a folder it is in, is hidden by its name."""
    return any(part.startswith(".") for part in name.split("/"))


def local(path: str) -> list[Entry]:
    """Return the files of this machine that ``path`` names, in order of their names.

    Raises:
        InputError: when there are none.
    """
    if not path:
        message = "collect.path is empty: name a file, a folder or a glob of files to read"
        raise InputError(message)
    path = path.removeprefix("file://")
    place = configuration.resolve(path)
    if place.is_file():
        return _readable(place.parent, [place], place)
    if place.is_dir():
        visible = (p for p in place.rglob("*") if not is_hidden(p.relative_to(place).as_posix()))
        return _readable(place, visible, place)
    if not glob.has_magic(path):
        message = f"collect.path: there is no {path} here or in {configuration.CHECKOUT}"
        raise InputError(message)
    return _matching(path)


def _matching(pattern: str) -> list[Entry]:
    """Return the files that match, named from the folder before the first wildcard on."""
    given = Path(pattern).expanduser()
    fixed = given.parts[: next(n for n, part in enumerate(given.parts) if glob.has_magic(part))]
    for base in (Path.cwd(), configuration.CHECKOUT):
        found = [Path(match) for match in glob.glob(str(base / given), recursive=True)]  # noqa: PTH207 - absolute patterns too
        if found:
            return _readable(base.joinpath(*fixed), found, given)
    message = f"collect.path: no file matches {pattern}"
    raise InputError(message)


def _readable(root: Path, paths: Iterable[Path], place: Path) -> list[Entry]:
    named = ((path.relative_to(root).as_posix(), path) for path in sorted(paths))
    kept = [Entry(printable(n), path) for n, path in named if is_readable(n) and path.is_file()]
    if not kept:
        raise InputError(none_readable(str(place)))
    return kept


def none_readable(place: str) -> str:
    """Return the message about a place without a file of a known format."""
    known = ", ".join(sorted(SUFFIXES))
    return f"collect.path: {place} holds no file that can be read ({known}, alone or as .gz, .zst)"


def printable(name: str) -> str:
    """Return a file's name without the bytes in it that are no text."""
    return name.encode("utf-8", "replace").decode("utf-8")
