"""Writing that survives a crash, and the disk's errors in words.

A file is replaced whole or not at all: written aside, forced to disk, renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from pipeline.errors import ResourceError


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file or a folder entry to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` so that a reader sees the old content or the new, whole."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        aside.write_text(text, encoding="utf-8")
        sync(aside)
        aside.replace(path)
        sync(path.parent)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn "disk full" and "not writable" into one message that says what to do.

    Raises:
        ResourceError: in place of the operating system's error.
    """
    full = (
        f"no space left on the disk of {where}: free some, or set ANGLE_ADAPT_HOME to another disk"
    )
    try:
        yield
    except SafetensorError as error:  # carries the system's error as text alone
        if f"os error {errno.ENOSPC}" in str(error):
            raise ResourceError(full) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(full) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            message = (
                f"cannot write to {where}: make it writable, or set ANGLE_ADAPT_HOME "
                "to another folder"
            )
            raise ResourceError(message) from error
        raise
