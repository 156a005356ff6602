"""What comes of extracting the text of a page or a file, and the limits it is held to."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["html", "pdf", "docx", "markdown", "text"]

MIB: Final = 1 << 20


class Extracted(NamedTuple):
    """The text that a reader would see.

    ``text`` keeps headings as Markdown ``#`` lines and separates paragraphs by a blank line; it is
    empty for a page of links alone.
    ``links`` are absolute http(s) URLs without fragment, in order, each once, those that say
    ``nofollow`` left out (for HTML alone). ``robots`` is the content of ``<meta name=robots>``.
    """

    text: str
    title: str = ""
    links: tuple[str, ...] = ()
    canonical: str = ""
    robots: str = ""
    language: str = ""


class Failed(NamedTuple):
    """Why there is no text: a reason to count by, and what was found, in words.

    ``reason`` is one of ``REASONS``.
    """

    reason: str
    detail: str = ""


class Limits(NamedTuple):
    """What one page may cost."""

    seconds: float = 10.0  # for HTML; PDF and DOCX get PATIENCE times as long
    memory: int = 1024 * MIB  # address space of the worker process, bytes
    size: int = 20 * MIB  # of the page, and of what it unpacks to, bytes
    depth: int = 250  # elements inside each other
    links: int = 5_000


PATIENCE: Final[dict[Kind, int]] = {"html": 1, "text": 1, "markdown": 1, "docx": 3, "pdf": 12}

REASONS: Final[dict[str, str]] = {
    "too_large": "more bytes than the limit, packed or unpacked",
    "too_deep": "elements nested deeper than the limit",
    "time_limit": "not done within the time limit; the worker was killed",
    "memory_limit": "needs more memory than the limit",
    "worker_died": "the worker process died of it",
    "no_text": "nothing to read: empty, menus only, or a PDF without a text layer",
    "encrypted": "needs a password",
    "broken": "not what its name or type says, or damaged",
    "xml_entities": "an XML part with a DTD, which an office program never writes",
    "binary": "bytes that are no text",
    "unknown_encoding": "text in an encoding that could not be found out",
}
