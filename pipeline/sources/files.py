"""Text in local files: plain text and Markdown, or tables with a column of text.

``collect.path`` names a file, a folder or a glob. A text file is one document; a table (CSV, TSV,
JSON, JSON lines, Parquet) is a document a row. A file that cannot be read is an error that names
the file and the line, because a corpus that is silently smaller is worse than none.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pipeline import config as configuration
from pipeline.disk import file_digest
from pipeline.errors import InputError
from pipeline.records import Document, text_id
from pipeline.sections import CollectSettings
from pipeline.sources.tables import TABLES, cell, read_text

SOURCE: Final = "files"
TEXT_SUFFIXES: Final = frozenset({".txt", ".md"})
SUFFIXES: Final = TEXT_SUFFIXES | frozenset(TABLES)


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Do nothing: files are where they are."""


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document]:  # noqa: ARG001 - a `Source`
    """Yield the documents of every file that ``collect.path`` names, in order of their names.

    Raises:
        InputError: names the file (and the line) that cannot be read, or the missing column.
    """
    root, paths = _files(settings)
    for path in paths:
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() in TEXT_SUFFIXES:
            yield _document(read_text(path), name, settings)
            continue
        for number, (row, where) in enumerate(TABLES[path.suffix.lower()](path), start=1):
            text = cell(row, settings.text_column, where)
            yield _document(text, f"{name}#{number}", settings)


def fingerprint(settings: CollectSettings, shelf: Path) -> str:  # noqa: ARG001 - a `Source`
    """Return the digest of the files' names, relative to the path given, and of their content."""
    root, paths = _files(settings)
    whole = hashlib.sha256()
    for path in paths:
        try:
            digest = file_digest(path)
        except OSError as error:
            message = f"cannot read {path}: {error.strerror}"
            raise InputError(message) from error
        whole.update(f"{path.relative_to(root).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()


def _document(text: str, name: str, settings: CollectSettings) -> Document:
    return Document(id=text_id(text), text=text, name=name, source=SOURCE, licence=settings.licence)


def _files(settings: CollectSettings) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the files in order of their names."""
    if not settings.path:
        message = "collect.path is empty: name a file, a folder or a glob of files to read"
        raise InputError(message)
    place = configuration.resolve(settings.path)
    if place.is_file():
        return place.parent, _readable([place], place)
    if place.is_dir():
        visible = (path for path in place.rglob("*") if not _is_hidden(path.relative_to(place)))
        return place, _readable(visible, place)
    if not glob.has_magic(settings.path):
        message = f"collect.path: there is no {settings.path} here or in {configuration.CHECKOUT}"
        raise InputError(message)
    return _matching(settings.path)


def _matching(pattern: str) -> tuple[Path, list[Path]]:
    """Return the folder before the first wildcard, and the files that match."""
    given = Path(pattern).expanduser()
    fixed = given.parts[: next(n for n, part in enumerate(given.parts) if glob.has_magic(part))]
    for base in (Path.cwd(), configuration.CHECKOUT):
        found = [Path(match) for match in glob.glob(str(base / given), recursive=True)]  # noqa: PTH207 - absolute patterns too
        if found:
            return base.joinpath(*fixed), _readable(found, given)
    message = f"collect.path: no file matches {pattern}"
    raise InputError(message)


def _readable(paths: Iterable[Path], place: Path) -> list[Path]:
    kept = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    if not kept:
        message = f"collect.path: {place} holds no file that can be read ({_listed(SUFFIXES)})"
        raise InputError(message)
    return kept


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes))


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
