"""Texts that are not worth pairing. A new rule is one function and one line in a table.

``LAYOUT`` judges by lines, so it sees a text before its lines are joined; ``RULES`` judge what the
text says in the end. Limits follow Rae et al. 2021, table A1 (https://arxiv.org/abs/2112.11446),
where they have one, loosened for texts shorter than web pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pipeline.cleaning.language import wrong_language
from pipeline.sections import CleanSettings
from pipeline.words import count_words

# Says what is wrong with a text, "" when nothing is.
Rule = Callable[[str, CleanSettings], str]

_FEW_LINES: Final = 5  # a text of fewer is no list, whatever its lines
_ENTRY_WORDS: Final = 4  # longest entry of a menu
_BULLET: Final = re.compile(r"^\s*(?:[-*+•·▪◦‣>]|\(?\w{1,3}[.)])\s+")
_SENTENCE: Final = re.compile(r"[.!?:;。！？…][\"')\]]*$")  # noqa: RUF001 - of every script
_GRAM: Final = 5


class Refusal(NamedTuple):
    """Why a text is dropped: a key of a table here, and what was measured."""

    reason: str
    detail: str


def refusal(lines: str, text: str, settings: CleanSettings) -> Refusal | None:
    """Return why a text is not worth pairing, none when it is.

    Args:
        lines: the text as it came, with its lines.
        text: the same, normalised and masked.
        settings: the limits.
    """
    for rules, judged in ((LAYOUT, lines), (RULES, text)):
        for reason, rule in rules.items():
            if detail := rule(judged, settings):
                return Refusal(reason, detail)
    return None


def mostly_list(lines: str, settings: CleanSettings) -> str:
    """Refuse menus and lists: lines of a few words that end no sentence."""
    filled = [line for line in lines.splitlines() if line.strip()]
    if len(filled) < _FEW_LINES:
        return ""
    share = sum(map(_is_entry, filled)) / len(filled)
    return "" if share <= settings.max_list else f"{share:.0%} entries"


def duplicate_lines(lines: str, settings: CleanSettings) -> str:
    """Refuse texts of which too many characters are in lines that stood in it before."""
    seen: set[str] = set()
    repeated = whole = 0
    for line in map(str.strip, lines.splitlines()):
        whole += len(line)
        repeated += len(line) if line in seen else 0
        seen.add(line)
    share = repeated / whole if whole else 0.0
    return "" if share <= settings.max_duplicate_lines else f"{share:.0%} in repeated lines"


def too_short(text: str, settings: CleanSettings) -> str:
    """Refuse texts of fewer words than ``clean.min_words``."""
    words = count_words(text)
    return "" if words >= settings.min_words else f"{words} words"


def too_long(text: str, settings: CleanSettings) -> str:
    """Refuse texts of more words than ``clean.max_words``."""
    words = count_words(text)
    return "" if words <= settings.max_words else f"{words} words"


def mostly_numbers(text: str, settings: CleanSettings) -> str:
    """Refuse texts in which too many of the words are numbers."""
    words = [word for word in text.split() if word.isalpha() or any(map(str.isalnum, word))]
    numbers = sum(not word.isalpha() and not any(map(str.isalpha, word)) for word in words)
    share = numbers / len(words) if words else 0.0
    return "" if share <= settings.max_numbers else f"{share:.0%} numbers"


def too_many_symbols(text: str, settings: CleanSettings) -> str:
    """Refuse texts (tables, code, numbers) in which too few of the characters are letters."""
    visible = "".join(text.split())
    symbols = len(visible) - sum(map(str.isalpha, visible))
    share = symbols / len(visible) if visible else 1.0
    return "" if share <= settings.max_symbols else f"{share:.0%} symbols"


def repetition(text: str, settings: CleanSettings) -> str:
    """Refuse texts that say the same over and over.

    Measured by the characters in 5-grams of words that stand in the text before.
    """
    words = text.casefold().split()
    share = _repeated(words) if len(words) > _GRAM else 0.0
    return "" if share <= settings.max_repetition else f"{share:.0%} repeated"


def _repeated(words: list[str]) -> float:
    grams = list(zip(*(words[start:] for start in range(_GRAM)), strict=False))
    if len(set(grams)) == len(grams):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    repeated = [False] * len(words)
    for start, gram in enumerate(grams):
        if gram in seen:
            repeated[start : start + _GRAM] = [True] * _GRAM
        seen.add(gram)
    hidden = sum(len(word) for word, again in zip(words, repeated, strict=True) if again)
    return hidden / sum(map(len, words))


def _is_entry(line: str) -> bool:
    text = _BULLET.sub("", line).strip()
    return count_words(text) <= _ENTRY_WORDS and not _SENTENCE.search(text)


# By the reason that a refused text is dropped for; the first that refuses counts.
LAYOUT: Final[dict[str, Rule]] = {
    "mostly_list": mostly_list,
    "duplicate_lines": duplicate_lines,
}
RULES: Final[dict[str, Rule]] = {
    "too_short": too_short,
    "too_long": too_long,
    "mostly_numbers": mostly_numbers,
    "too_many_symbols": too_many_symbols,
    "repetition": repetition,
    "language": wrong_language,
}
