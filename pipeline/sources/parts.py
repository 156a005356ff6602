"""Rows on a shelf, in parts that appear whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.disk import sync
from pipeline.errors import InputError
from pipeline.sources.opening import Bounds
from pipeline.sources.tables import Fault, Row, Want, rows

_CUT: Final = ".cut"  # of a part that ended too soon; it is fetched again
_BOUNDS: Final = Bounds(item=200 << 20, ratio=1100)  # the shelf is our own


def write(path: Path, part: Sequence[Mapping[str, Any]], *, whole: bool) -> None:
    """Write rows to ``path``, a ``.jsonl.gz``; one that is not ``whole`` under another name."""
    target = path if whole else path.with_suffix(_CUT)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with gzip.GzipFile(aside, "wb", compresslevel=3, mtime=0) as stream:
        for row in part:
            stream.write(json.dumps(row, default=str).encode() + b"\n")
    sync(aside)
    aside.replace(target)
    if whole:
        path.with_suffix(_CUT).unlink(missing_ok=True)
    sync(path.parent)


def complete(folder: Path) -> list[Path]:
    """Return the whole parts in order."""
    return sorted(folder.glob("*.jsonl.gz"))


def rows_of(folder: Path) -> Iterator[tuple[Row, str]]:
    """Yield the rows of all parts, the one cut short last.

    Raises:
        InputError: when a part is damaged.
    """
    for path in (*complete(folder), *sorted(folder.glob(f"*{_CUT}"))):
        for found in rows(path, ".jsonl", ".gz", _BOUNDS, Want("utf-8")):
            if isinstance(found, Fault):
                message = f"{path} is damaged ({found.detail}): delete it and run again"
                raise InputError(message)
            yield found
