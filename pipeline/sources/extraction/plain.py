"""Plain text and Markdown: decoded, and the title told from the text."""

from __future__ import annotations

import re
from typing import Final

from pipeline.sources.encodings import Undecodable, decoded
from pipeline.sources.extraction.frames import Request
from pipeline.sources.extraction.outcome import Extracted, Failed

_FRONT: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*(.{1,300}?)[ \t]*\r?$", re.MULTILINE)
_FIRST_HEADING: Final = re.compile(r"\A\s*#[ \t]+(.{1,300}?)[ \t#]{0,80}(?:\r?\n|\Z)")
_FIRST_LINE: Final = re.compile(r"\A\s*#{1,6}[ \t]+(.{1,300}?)[ \t#]{0,80}(?:\n|\Z)")
_LONGEST_FRONT: Final = 1 << 16  # characters


def extract_text(data: bytes, request: Request) -> Extracted | Failed:
    """Return plain text as it is."""
    text = decoded(data, request.charset)
    return Failed(*text) if isinstance(text, Undecodable) else Extracted(text)


def extract_markdown(data: bytes, request: Request) -> Extracted | Failed:
    """Return Markdown as it is, its title from the front matter or the first heading."""
    text = decoded(data, request.charset)
    return Failed(*text) if isinstance(text, Undecodable) else Extracted(*markdown(text))


def markdown(text: str) -> tuple[str, str]:
    """Return the text without front matter and title, and the title."""
    title = ""
    front = _FRONT.match(text[:_LONGEST_FRONT])
    if front:
        text = text[front.end() :]
        stated = _FRONT_TITLE.search(front[1])
        title = stated[1].strip("'\"") if stated else ""
    heading = _FIRST_HEADING.match(text)
    if heading and (not title or _same(heading[1], title)):
        return text[heading.end() :], heading[1]
    return text, title


def untitled(text: str, title: str) -> str:
    """Return ``text`` without a first line that is a heading and says the same as ``title``."""
    heading = _FIRST_LINE.match(text)
    return text[heading.end() :] if heading and _same(heading[1], title) else text


def _same(one: str, other: str) -> bool:
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())
