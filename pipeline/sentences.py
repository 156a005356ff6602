"""Cutting a text into sentences, and into the two views of it that pairs and evaluation use."""

from __future__ import annotations

import re
from typing import Final

# The end of a sentence, closing quotes and brackets included, or a blank line.
_END: Final = re.compile(r"(?<=[.!?])([\"')\]]*)\s+(?=[\"'(\[`*]*[A-Z0-9])|\n\s*\n")
_ABBREVIATION: Final = re.compile(
    r"\b(?:e\.g|i\.e|etc|vs|cf|fig|sec|approx|resp)\.$|^[A-Z]\.$", re.IGNORECASE
)
_TAIL: Final = 12  # characters in which an abbreviation fits, with what stands before it


def sentences(text: str) -> list[str]:
    """Return the sentences of ``text``; a blank line always ends one."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        end = match.start() + len(match.group(1) or "")
        # The tail alone: text before abbreviations that end nothing would be searched every time.
        tail = text[max(start, end - _TAIL) : end]
        if match.group().count("\n") < 2 and _ABBREVIATION.search(tail):
            continue
        found.append(text[start:end])
        start = match.end()
    found.append(text[start:])
    return [" ".join(piece.split()) for piece in found if piece.strip()]


def lead(text: str, max_words: int) -> str:
    """Return the first whole sentences of ``text`` that fit in ``max_words``.

    The first sentence is always there, cut at ``max_words`` when it alone is longer.
    """
    kept: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        if kept and len(kept) + len(words) > max_words:
            break
        kept.extend(words[:max_words])
    return " ".join(kept)


def first_and_rest(text: str, max_words: int) -> tuple[str, str]:
    """Return the first sentence of ``text`` and the lead of what follows it ("" when nothing)."""
    first, *rest = sentences(text) or [""]
    return first, lead("\n\n".join(rest), max_words) if rest else ""
