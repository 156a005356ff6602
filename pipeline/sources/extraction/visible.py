"""Characters that no reader sees, taken out of a text."""

from __future__ import annotations

import re
from typing import Final

# Zero-width space, word joiner and byte order mark; marks and overrides of direction; invisible
# operators; tags and supplementary variation selectors, which can spell whole sentences
# (https://embracethered.com/blog/posts/2024/hiding-and-finding-text-with-unicode-tags/);
# C0 controls beside tab and line break. C1 controls stay: they are how cp1252 shows up that was
# read as Latin-1, and cleaning repairs it.
_UNSEEN: Final = (
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\x00-\x08\x0b\x0e-\x1f\x7f"
)
# The joiners carry meaning in Persian, in Indic scripts and between emoji: one alone, between two
# characters beyond Latin, stays. A soft hyphen goes, unless it may be half of mojibake.
_INVISIBLE: Final = re.compile(
    f"[{_UNSEEN}]+|\u200c{{2,}}|\u200d{{2,}}|(?<![^\x00-\u024f])[\u200c\u200d]+"
    "|[\u200c\u200d]+(?![^\x00-\u024f])|(?<![\x80-\xf4])\xad"
)


_ANY: Final = re.compile(f"[{_UNSEEN}\u200c\u200d\xad]")


def visible(text: str) -> str:
    """Return ``text`` without characters that take no room and show nothing."""
    return _INVISIBLE.sub("", text) if _ANY.search(text) else text
