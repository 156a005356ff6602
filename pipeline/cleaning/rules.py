"""Texts that are not worth pairing. A new rule is one function and one line in ``RULES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.sections import CleanSettings

# Says what is wrong with a text, "" when nothing is.
Rule = Callable[[str, CleanSettings], str]


def too_short(text: str, settings: CleanSettings) -> str:
    """Refuse texts of fewer words than ``clean.min_words``."""
    words = len(text.split())
    return "" if words >= settings.min_words else f"{words} words"


def too_many_symbols(text: str, settings: CleanSettings) -> str:
    """Refuse texts (tables, code, numbers) in which too few of the characters are letters."""
    visible = [character for character in text if not character.isspace()]
    symbols = sum(not character.isalpha() for character in visible)
    share = symbols / len(visible) if visible else 1.0
    return "" if share <= settings.max_symbols else f"{share:.0%} symbols"


# By the reason that a refused text is dropped for; the first that refuses counts.
RULES: Final[dict[str, Rule]] = {
    "too_short": too_short,
    "too_many_symbols": too_many_symbols,
}
