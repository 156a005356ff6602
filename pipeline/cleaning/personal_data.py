"""Addresses and numbers that lead to a person, replaced by what they are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

# Kind -> pattern. The text keeps "[kind]" in its place. Lengths are bounded, so time is linear.
PATTERNS: Final[dict[str, re.Pattern[str]]] = {
    "email": re.compile(
        r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
    ),
    # International form only: a "+", then 8 to 15 digits with the usual separators.
    "phone": re.compile(r"(?<![\w+])\+[1-9](?:[ ().-]{0,2}\d){7,14}(?![\w-])"),
}


def mask(text: str) -> tuple[str, Counter[str]]:
    """Return ``text`` with personal data masked, and how many of each kind there were."""
    counts: Counter[str] = Counter()
    for kind, pattern in PATTERNS.items():
        text, found = pattern.subn(f"[{kind}]", text)
        if found:
            counts[kind] = found
    return text, counts
