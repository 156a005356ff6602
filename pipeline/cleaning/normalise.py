"""One spelling for texts that look the same."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Invisible characters that no script needs: zero-width space, soft hyphen, word joiner, byte order
# mark and the marks that set the writing direction. Joiners (U+200C, U+200D) carry meaning: kept.
_INVISIBLE: Final = re.compile(r"[\u200b\u00ad\u2060\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_BREAK: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_PARAGRAPH: Final = re.compile(r"\n\s*\n|\u2029")


def normalise(text: str) -> str:
    """Return ``text`` in NFC without control characters, a paragraph a line, a blank line between.

    Applying it twice changes nothing more.
    """
    text = _CONTROL.sub("", _LINE_BREAK.sub("\n", _INVISIBLE.sub("", text)))
    paragraphs = (
        " ".join(paragraph.split())
        for paragraph in _PARAGRAPH.split(unicodedata.normalize("NFC", text))
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
