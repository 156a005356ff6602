"""Files at an fsspec URL, such as ``s3://bucket/folder``, brought to the shelf.

Each file is copied once for each version that the other side names (ETag, or size and time of
change) to a place named by the digest of both; then a listing says which copies the URL stands for.
A copy appears whole or not at all and stays if the run is killed, so the next one goes on from
there. A file that cannot be fetched is in the listing with the reason, and is tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock
from pydantic import ValidationError

from pipeline.disk import disk_errors, sync, write_atomically
from pipeline.errors import ConfigError, InputError, NotFetchedError, ResourceError
from pipeline.progress import Progress
from pipeline.records import Record, digest_of
from pipeline.sources.places import Entry, is_hidden, is_readable, none_readable, printable

_CHUNK: Final = 1 << 20
_VERSIONS: Final = ("ETag", "etag", "md5Hash", "md5", "checksum", "versionId", "generation")
_TIMES: Final = ("LastModified", "last_modified", "mtime", "updated", "created")
_WEB: Final = frozenset({"http", "https"})


class Copied(Record):
    """A file of the other side, and the name of its copy on the shelf."""

    name: str
    url: str
    copy_name: str
    fetched_at: str = ""
    problem: str = ""


class Listing(Record):
    """The files that a URL stands for, as they were fetched last."""

    files: tuple[Copied, ...]


class Remote(NamedTuple):
    """A file as the other side lists it; ``version`` is "" where it says nothing of that."""

    name: str
    path: str
    url: str
    version: str


def entries(url: str, shelf: Path) -> list[Entry]:
    """Return the files that ``url`` stood for when it was fetched last.

    Raises:
        InputError: when it was never fetched.
    """
    listing = _listing(_listing_path(url, shelf))
    if listing is None:
        message = f"{shown(url)} was not fetched yet: run once with collect.refresh: true"
        raise NotFetchedError(message)
    copies = shelf / "copies"
    return [
        Entry(file.name, copies / file.copy_name, file.url, file.fetched_at, file.problem)
        for file in listing.files
    ]


def refresh(url: str, shelf: Path, largest: int) -> None:
    """Copy what is new at ``url`` to the shelf; ``largest``: bytes of a file that is copied.

    Raises:
        InputError: when the place cannot be listed or holds no file of a known format.
        ResourceError: when the package for this kind of place is not installed.
    """
    with disk_errors(shelf):
        (shelf / "copies").mkdir(parents=True, exist_ok=True)
    with FileLock(shelf / "files.lock"):
        for left in (shelf / "copies").glob("*.tmp"):  # by a run that was killed
            left.unlink()
        system, found = _listed(url)
        known = _listing(_listing_path(url, shelf)) or Listing(files=())
        before = {file.copy_name: file for file in known.files}
        files = []
        with Progress("fetch", len(found), "file") as progress:
            for remote in found:
                files.append(_fetched(system, remote, shelf / "copies", largest, before))
                progress.advance()
        listing = Listing(files=tuple(files))
        write_atomically(_listing_path(url, shelf), listing.model_dump_json(indent=1))
        _remove_unlisted(shelf, set(before) - {file.copy_name for file in files})


def shown(url: str) -> str:
    """Return a URL without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _listed(url: str) -> tuple[Any, list[Remote]]:
    system, root = _system(url)
    try:
        system.invalidate_cache()
        found = dict(_infos(system, root))
    except Exception as error:  # every file system raises errors of its own
        message = f"cannot list {shown(url)}: {_said(error)}; check the address and the credentials"
        raise InputError(message) from error
    base = _base(root, alone=set(found) == {root})
    named = ((path.removeprefix(base).lstrip("/"), path, info) for path, info in found.items())
    scheme = url.partition("://")[0]
    remotes = [
        Remote(printable(name), path, f"{scheme}://{printable(path).lstrip('/')}", _version(info))
        for name, path, info in sorted(named, key=lambda item: item[0])
        if is_readable(name) and not is_hidden(name)
    ]
    if not remotes:
        raise InputError(none_readable(shown(url)))
    return system, remotes


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    import fsspec  # noqa: PLC0415 - takes a moment

    if url.partition("://")[0] in _WEB:
        message = f"collect.path: {shown(url)} is a web page; read it with collect.source: web"
        raise ConfigError(message)
    if "::" in url:
        message = f"collect.path: {shown(url)} chains places with '::', which is not supported"
        raise ConfigError(message)
    try:
        system, root = fsspec.url_to_fs(url)
    except ImportError as error:
        message = (
            f"{shown(url)} needs another package ({error}): "
            "pip install 'angle-adapt[remote]' for s3://, or the package named"
        )
        raise ResourceError(message) from error
    except ValueError as error:
        message = f"collect.path: {shown(url)}: {error}"
        raise ConfigError(message) from error
    return system, root.rstrip("/")


def _infos(system: Any, root: str) -> Iterator[tuple[str, Mapping[str, Any]]]:  # noqa: ANN401 - fsspec has no types
    found = (
        system.glob(root, detail=True)
        if any(mark in root for mark in "*?[")
        else system.find(root, detail=True)
    )
    for path, info in found.items():
        if info.get("type") == "file":
            yield path, info


def _base(root: str, *, alone: bool) -> str:
    """Return what names are relative to: the folder of a file, or before the first wildcard."""
    marks = [root.index(mark) for mark in "*?[" if mark in root]
    if marks or alone:
        return root[: min(marks, default=len(root))].rpartition("/")[0]
    return root


def _version(info: Mapping[str, Any]) -> str:
    tags = [f"{key}={info[key]}" for key in _VERSIONS if info.get(key)]
    times = [f"{key}={info[key]}" for key in _TIMES if info.get(key)]
    if not tags and not times:
        return ""
    return "|".join([f"size={info.get('size')}", *(tags or times)])


def _fetched(
    system: Any,  # noqa: ANN401 - fsspec has no types
    remote: Remote,
    copies: Path,
    largest: int,
    before: Mapping[str, Copied],
) -> Copied:
    name = digest_of(remote.url, remote.version)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    copied = Copied(name=remote.name, url=remote.url, copy_name=name, fetched_at=now)
    if remote.version and (copies / name).is_file():
        known = before.get(name, copied)
        return copied.model_copy(update={"fetched_at": known.fetched_at or now})
    try:
        stream = system.open(remote.path, "rb")
    except Exception as error:  # noqa: BLE001 - every file system raises errors of its own
        return copied.model_copy(update={"problem": _said(error)})
    with stream:
        problem = _copied(stream, copies / name, largest)
    return copied.model_copy(update={"problem": problem})


def _copied(stream: Any, target: Path, largest: int) -> str:  # noqa: ANN401 - as above
    """Copy a stream to ``target`` as a whole; return why it was not, or ""."""
    aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(target), aside.open("wb") as out:
            for chunk in _chunks(stream):
                if isinstance(chunk, str):
                    return chunk
                out.write(chunk)
                if out.tell() > largest:
                    return f"more than {largest:,} bytes"
        sync(aside)
        aside.replace(target)
        sync(target.parent)
    finally:
        aside.unlink(missing_ok=True)
    return ""


def _chunks(stream: Any) -> Iterator[bytes | str]:  # noqa: ANN401 - as above
    """Yield the bytes of a stream; text when the other side fails, to tell it from the disk."""
    while True:
        try:
            chunk = stream.read(_CHUNK)
        except Exception as error:  # noqa: BLE001 - every file system raises errors of its own
            yield _said(error)
            return
        if not chunk:
            return
        yield chunk


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _listing_path(url: str, shelf: Path) -> Path:
    return shelf / "listings" / f"{digest_of(url)}.json"


def _listing(path: Path) -> Listing | None:
    try:
        return Listing.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _remove_unlisted(shelf: Path, names: Iterable[str]) -> None:
    """Delete copies that this URL no longer stands for, unless another listing has them."""
    used = {
        file["copy_name"]
        for path in (shelf / "listings").glob("*.json")
        for file in json.loads(path.read_bytes())["files"]
    }
    for name in set(names) - used:
        (shelf / "copies" / name).unlink(missing_ok=True)
