"""One spelling for texts that look the same, after what a wrong decoding broke is mended."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

# Invisible characters that no script needs: zero-width space, soft hyphen, word joiner, byte order
# mark, the marks that set the writing direction, and the tags and variation selectors in which a
# text can be hidden from people. Joiners (U+200C, U+200D) carry meaning: kept.
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e01ef]"
)
_LINE_BREAK: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_PARAGRAPH: Final = re.compile(r"\n\s*\n|\u2029")
# Taking invisible characters out can bring to light what the repair mends next; two rounds do.
_ROUNDS: Final = 8


def normalise(text: str) -> str:
    """Return ``text`` repaired, in NFC, without control characters, a paragraph a line.

    A blank line stands between paragraphs. Applying it twice changes nothing more.
    """
    for _ in range(_ROUNDS):
        before, text = text, _tidy(repair(text))
        if text == before or text.isascii():
            break
    return text


def repair(text: str) -> str:
    """Return ``text`` with mojibake decoded, and ligatures and terminal escapes resolved.

    What is only a matter of taste (curly quotes, full-width letters, HTML entities in a text about
    HTML) stays as it is. Uses ftfy (https://ftfy.readthedocs.io).
    """
    if text.isascii() and "\x1b" not in text:
        return text
    import ftfy  # noqa: PLC0415 - most corpora are ASCII, and its tables take a while to build

    return ftfy.fix_text(text, _repairs())


@cache
def _repairs() -> TextFixerConfig:
    from ftfy import TextFixerConfig  # noqa: PLC0415 - as above

    return TextFixerConfig(
        unescape_html=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


def _tidy(text: str) -> str:
    text = _CONTROL.sub("", _LINE_BREAK.sub("\n", _INVISIBLE.sub("", text)))
    paragraphs = (
        " ".join(paragraph.split())
        for paragraph in _PARAGRAPH.split(unicodedata.normalize("NFC", text))
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
