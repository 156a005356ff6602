"""Which of the texts that a model wrote are worth scoring. A new rule is a function and a line.

The first rule of ``FILTERS`` that refuses a text is the reason why it is dropped: what is no text
of its own comes first, then what is too near to the text it was written from, then what is not of
its kind. The rules only spare the annotators work; what a variant means is theirs to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from pipeline import prompts
from pipeline.languages import probabilities
from pipeline.records import normalised, text_id
from pipeline.sections import GenerateSettings

STRATEGY: Final = "generated_{}"
OPPOSITE: Final = STRATEGY.format("opposite")
QUERY: Final = STRATEGY.format("query")
ECHOED: Final = 6  # words in a row that come from the prompt
LEAST_CHANCE: Final = 0.02  # of a language; below it a text is not in that language


class Variant(NamedTuple):
    """A text that a model wrote, the one it was written from, and as what it was asked for."""

    text: str
    source: str
    strategy: str


# Says what is wrong with a variant, "" when nothing is.
Filter = Callable[[Variant, GenerateSettings], str]


def no_words(variant: Variant, _: GenerateSettings) -> str:
    """Refuse what holds no letter and no digit."""
    return "" if re.search(r"[^\W_]", variant.text) else "no letter and no digit"


def echo(variant: Variant, settings: GenerateSettings) -> str:
    """Refuse a text with a fence, or with ``ECHOED`` words in a row that the prompt has too."""
    if fence := _new_match(_FENCE, variant):
        return repr(fence)
    own = _runs(variant.text) & _prompt_runs(settings.prompt) - _runs(variant.source)
    return repr(min(own)) if own else ""


def list_marker(variant: Variant, _: GenerateSettings) -> str:
    """Refuse a text that begins with a bullet, a number or a label its source has not."""
    return repr(marker) if (marker := _new_match(_MARKER, variant)) else ""


def exact_copy(variant: Variant, _: GenerateSettings) -> str:
    """Refuse a text that differs from its source in case and white space only."""
    return "equal" if text_id(variant.text) == text_id(variant.source) else ""


def near_copy(variant: Variant, settings: GenerateSettings) -> str:
    """Refuse a text that shares too many of its character 3-grams with its source (Jaccard).

    Of 75 pairs of English sentences of one meaning that people wrote, one reaches 0.5; a sentence
    of a dozen words with one of them changed, or "not" put in, reaches 0.8.
    """
    one, other = _grams(variant.text), _grams(variant.source)
    similarity = len(one & other) / len(one | other)
    return f"Jaccard {similarity:.2f}" if similarity >= settings.near_copy else ""


def few_new_words(variant: Variant, settings: GenerateSettings) -> str:
    """Refuse an opposite that lacks fewer than ``new_words`` of its source's words.

    AnglE's own code leaves out such pairs, with 5 words, from the data that its models wrote
    (Li & Li 2023, arXiv 2309.12871; the paper does not mention it).
    """
    if variant.strategy != OPPOSITE:
        return ""
    kept = set(_words(variant.text))
    lacking = sum(word not in kept for word in _words(variant.source))
    return f"{lacking} words" if lacking < settings.new_words else ""


def length(variant: Variant, settings: GenerateSettings) -> str:
    """Refuse a text that is much longer or shorter than its source; a query may be shorter."""
    ratio = len(normalised(variant.text)) / max(1, len(normalised(variant.source)))
    short = variant.strategy != QUERY and ratio * settings.length_ratio < 1
    return f"{ratio:.2f} times as long" if short or ratio > settings.length_ratio else ""


def other_language(variant: Variant, settings: GenerateSettings) -> str:
    """Refuse a text in another language than its source's.

    Either text must be very unlikely to be in the language of the other, so that where one is
    hard to tell (a few words, names, code) nothing is refused.
    """
    if not settings.same_language:
        return ""
    chances, expected = probabilities(variant.text), probabilities(variant.source)
    found, wanted = (max(some, key=some.__getitem__) for some in (chances, expected))
    differ = max(chances[wanted], expected[found]) < LEAST_CHANCE
    return f"{found}, not {wanted}" if differ else ""


# By the reason that a refused text is dropped for, in the order in which they are tried.
FILTERS: Final[dict[str, Filter]] = {
    "no_words": no_words,
    "prompt_echoed": echo,
    "list_marker": list_marker,
    "exact_copy": exact_copy,
    "near_copy": near_copy,
    "few_new_words": few_new_words,
    "length_ratio": length,
    "other_language": other_language,
}


def refusal(variant: Variant, settings: GenerateSettings) -> tuple[str, str]:
    """Return why a variant is not worth scoring, reason and detail; empty when it is."""
    for reason, rule in FILTERS.items():
        if detail := rule(variant, settings):
            return reason, detail
    return "", ""


_FENCE: Final = re.compile(r"</?(?:text|passage)\b", re.IGNORECASE)
_MARKER: Final = re.compile(
    r"\s*(?:[-*•·>#]+\s|\(?[0-9]{1,3}(?:[.):]\s|[、．])"  # noqa: RUF001
    r"|(?:level|grade|variant|sentence|query|output|antonym|synonym(?:ous)?|opposite|same"
    r"|等级|句子)(?:[ -]?meaning)?(?:\s?sentence)?\s{0,2}[0-9]{0,2}\s?[:：])",  # noqa: RUF001
    re.IGNORECASE,
)
_VARIABLE: Final = re.compile(r"\{\{.*?\}\}")
_WORD: Final = re.compile(r"\w+")


def _new_match(pattern: re.Pattern[str], variant: Variant) -> str:
    """Return what a pattern finds in a variant, and not in its source."""
    find = pattern.match if pattern is _MARKER else pattern.search
    match = find(variant.text)
    return match[0].strip() if match and not find(variant.source) else ""


def _words(text: str) -> list[str]:
    return _WORD.findall(normalised(text))


def _runs(text: str) -> frozenset[str]:
    words = _words(text)
    return frozenset(
        " ".join(words[start : start + ECHOED]) for start in range(len(words) - ECHOED + 1)
    )


@cache
def _prompt_runs(name: str) -> frozenset[str]:
    """Return the runs of words in a prompt; what is filled in is left out."""
    return _runs(_VARIABLE.sub("", prompts.load(name).template))


def _grams(text: str, size: int = 3) -> frozenset[str]:
    whole = normalised(text)
    return frozenset(whole[start : start + size] for start in range(max(1, len(whole) - size + 1)))
