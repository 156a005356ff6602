"""The worker process: takes a page, answers with its text, one after the other.

It dies with its owner: the socket closes, and while it works on a page an alarm of the kernel's
stands ready, so that not even a parser that never returns survives.
"""

from __future__ import annotations

import importlib
import logging
import re
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.sources.extraction import frames
from pipeline.sources.extraction.outcome import Extracted, Failed, Kind
from pipeline.sources.extraction.visible import visible

Extract = Callable[[bytes, frames.Request], Extracted | Failed]

_ROOM: Final = "pipeline.sources.extraction"
EXTRACTORS: Final[dict[Kind, tuple[str, str]]] = {
    "html": (f"{_ROOM}.web_page", "extract"),
    "pdf": (f"{_ROOM}.pdf", "extract"),
    "docx": (f"{_ROOM}.word", "extract"),
    "markdown": (f"{_ROOM}.plain", "extract_markdown"),
    "text": (f"{_ROOM}.plain", "extract_text"),
}
_FORGET_EVERY: Final = 20  # pages
_NO_MEMORY: Final = re.compile(r"unknown error|allocat")  # as libxml2 says it
_GRACE: Final = 2.0  # seconds after which the kernel ends a page that no owner ended


def main(descriptor: int, memory: int) -> None:
    """Answer requests on the socket ``descriptor`` until its other end closes."""
    from trafilatura.meta import reset_caches  # noqa: PLC0415 - takes a moment

    logging.disable(logging.CRITICAL)  # nobody reads it
    for module in {module for module, _ in EXTRACTORS.values()}:
        importlib.import_module(module)
    _confine(memory)
    with socket.socket(fileno=descriptor) as channel:
        frames.send(channel, "ready", b"", None)
        pages = 0
        while True:
            try:
                header, data = frames.receive(channel)
            except (EOFError, ConnectionError):
                return
            request = frames.Request(*header)
            signal.setitimer(signal.ITIMER_REAL, request.seconds + _GRACE)
            found = extracted(data, request)
            frames.send(channel, frames.wrapped(found), b"", None)
            signal.setitimer(signal.ITIMER_REAL, 0)
            pages += 1
            if pages % _FORGET_EVERY == 0:
                reset_caches()  # trafilatura's, which grow by a page a page; collects garbage too


def extracted(data: bytes, request: frames.Request) -> Extracted | Failed:
    """Return the text of ``data``, or why there is none; whatever a parser raises is a reason."""
    found = _parsed(data, request)
    if isinstance(found, Failed):
        return found
    text = visible(found.text).strip()
    if not text and not found.links:  # a page of links alone has something to say to a crawl
        return Failed("no_text", "no text in it")
    return found._replace(text=text, title=" ".join(visible(found.title).split()))


def _parsed(data: bytes, request: frames.Request) -> Extracted | Failed:
    module, name = EXTRACTORS[request.kind]
    extract: Extract = getattr(importlib.import_module(module), name)
    try:
        return extract(data, request)
    except MemoryError:
        return Failed("memory_limit", "the parser ran out of memory")
    except RecursionError:
        return Failed("too_deep", "the parser ran out of stack")
    except Exception as error:  # noqa: BLE001 - parsers raise anything on hostile bytes
        if _NO_MEMORY.search(str(error)):
            return Failed("memory_limit", "the parser ran out of memory")
        return Failed("broken", f"{type(error).__name__}: {error}"[:300])


def _confine(memory: int) -> None:
    """Limit the address space to what it is now and ``memory`` bytes more; forbid writing."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    used = _address_space()
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def _address_space() -> int:
    """Return the bytes of address space in use, 0 where /proc does not say (macOS)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
