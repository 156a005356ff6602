"""Words, also of scripts that put no space between them."""

from __future__ import annotations

import re
from typing import Final

# Scripts written without spaces (Thai, Lao, Khmer, Burmese, kana, ideographs): a character a word.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
WORD: Final = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def count_words(text: str) -> int:
    """Return how many words ``text`` has: runs of visible characters, or single characters.

    Characters of scripts without spaces count one by one, so that a sentence of Japanese is not one
    word.
    """
    return len(text.split()) if text.isascii() else sum(1 for _ in WORD.finditer(text))
