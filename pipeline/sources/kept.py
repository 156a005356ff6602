"""Extracted text kept on the shelf under the digest of the bytes it came from.

What a page comes to is computed once for each content, kind and version of the parsers; a killed
run goes on where it was, and a file that moved or came back costs nothing. What may go better next
time (a time limit on a busy machine) is not kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pipeline.disk import write_atomically
from pipeline.records import digest_of
from pipeline.sources.extraction import Extracted, Extractor, Failed, Kind
from pipeline.sources.extraction.frames import answer, wrapped
from pipeline.sources.extraction.process import VERSION

_PARSERS: Final = ("trafilatura", "pypdf", "python-docx")
_PASSING: Final = frozenset({"time_limit", "memory_limit", "worker_died"})


class Kept:
    """An extractor that remembers; ``folder`` is its part of a shelf."""

    def __init__(self, folder: Path, extractor: Extractor) -> None:
        self._folder, self._extractor = folder, extractor
        self.computed = 0

    def extract(self, data: bytes, kind: Kind, url: str = "") -> Extracted | Failed:
        """Return the text of ``data``, from the shelf where it is there.

        Raises:
            ResourceError: when no worker process can be started, or the disk is full.
        """
        path = self._place(data, kind, url)
        try:
            return answer((json.loads(path.read_bytes()), b""))
        except (FileNotFoundError, ValueError):  # never computed, or damaged
            pass
        self.computed += 1
        found = self._extractor.extract(data, kind, url)
        if not (isinstance(found, Failed) and found.reason in _PASSING):
            write_atomically(path, json.dumps(wrapped(found)))
        return found

    def _place(self, data: bytes, kind: Kind, url: str) -> Path:
        limits = json.dumps(self._extractor.limits)
        content = hashlib.sha256(data).hexdigest()
        name = digest_of(content, kind, url, limits, _versions())
        return self._folder / name[:2] / f"{name}.json"


@functools.cache
def _versions() -> str:
    return " ".join([str(VERSION), *(f"{name} {version(name)}" for name in _PARSERS)])
