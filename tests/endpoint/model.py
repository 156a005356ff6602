"""The "language model": a grade for two texts that depends on nothing but the texts.

The grade is the overlap of the two texts' words on the scale of the question; where fewer than two
texts are found in the message, it is a hash of the message. Around it lies a distribution over the
grades, from which log-probabilities and samples come.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

GRADES: Final = (0, 1, 2, 3, 4, 5)
NOISE: Final = (("\n", 0.015), ("The", 0.005))  # what is likely besides a grade
_WIDTH: Final = 0.15  # of the distribution, as a share of the scale
# Tried in turn until one finds two texts: <tag>text</tag>, triple quotes, "Name: text" lines.
_TEXTS: Final = (
    re.compile(r"<(\w[\w-]*)[^<>]*>([^<]*(?:<(?!/?\w[\w-]*[^<>]*>)[^<]*)*)</\1[^<>]*>"),
    re.compile(r'("""|```)\s*(.+?)\s*\1', re.S),
    re.compile(
        r"^(text|sentence|question|query|passage|issue)\s?\w{0,2}:[ \t]*(\S.*)$", re.I | re.M
    ),
)
_WORD: Final = re.compile(r"\w+")
_PIECE: Final = re.compile(r"\d+(?:\.\d+)?|[^\W\d]+|\s+|[^\w\s]+|\w+")


class Manner(NamedTuple):
    """How the model answers; the key ``model`` of a script."""

    grades: tuple[Any, ...] = GRADES  # of a question without a schema
    style: str = "bare"  # of an answer without a schema: bare, json, fenced or prose
    texts: str = ""  # a pattern whose last group is a text; "" tries the usual ones
    order_bias: float = 0.0  # grades that one order of two texts gains and the other loses
    first_item: int = 1  # the number of the first item where several are asked about
    cache_minimum: int = 1024  # tokens of a prompt from which on its start is cached
    schemas: bool = True  # false: response_format is ignored
    logprobs: bool = True  # false: logprobs are ignored
    usage: bool = True  # false: answers have none
    say: Any = None  # said in place of every grade, in or out of the scale


class Opinion(NamedTuple):
    """Grades, how likely each is, and the place of the one that is said."""

    grades: tuple[Any, ...]
    chances: tuple[float, ...]
    chosen: int
    say: Any = None

    @property
    def said(self) -> Any:
        return self.grades[self.chosen] if self.say is None else self.say


class Token(NamedTuple):
    """A token of an answer; ``opinion`` is there when it is a grade."""

    text: str
    opinion: Opinion | None = None


@lru_cache(256)
def texts_of(message: str, pattern: str = "") -> tuple[str, ...]:
    """Return the texts that a message asks about, in order."""
    for usual in [re.compile(pattern, re.S)] if pattern else _TEXTS:
        found = tuple(match[match.re.groups].strip() for match in usual.finditer(message))
        if len(found) > 1:
            return found
    return ()


@lru_cache(4096)
def words_of(text: str) -> frozenset[str]:
    """Return the words of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def share(*values: object) -> float:
    """Return a number in [0, 1) that looks random and depends on nothing but ``values``."""
    digest = hashlib.blake2b(repr(values).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def overlap(texts: Sequence[str], bias: float = 0.0) -> float:
    """Return the Jaccard overlap of two texts' words; a hash of one text. In [0, 1] plus bias."""
    if len(texts) < 2:
        return share(*texts)
    first, second = words_of(texts[0]), words_of(texts[1])
    found = len(first & second) / (len(first | second) or 1)
    return found + math.copysign(bias, -1 if texts[0] > texts[1] else 1) if bias else found


@lru_cache(4096)
def chances(place: float, count: int) -> tuple[float, ...]:
    """Return how likely each of ``count`` grades is around ``place`` in [0, 1].

    Together with `NOISE` they make up one.
    """
    center, width = place * (count - 1), max(_WIDTH * (count - 1), 1e-9)
    weights = [math.exp(-0.5 * ((grade - center) / width) ** 2) for grade in range(count)]
    total = sum(weights) or 1.0
    left = 1 - sum(chance for _, chance in NOISE)
    return tuple(left * weight / total for weight in weights)


def expected(texts: Sequence[str], grades: Sequence[float] = GRADES, bias: float = 0.0) -> float:
    """Return the expected grade of two texts: what an annotator should make of the answer."""
    likely = chances(overlap(texts, bias / (len(grades) - 1)), len(grades))
    weighed = sum(grade * chance for grade, chance in zip(grades, likely, strict=True))
    return weighed / sum(likely)


def opinion(texts: Sequence[str], grades: Sequence[Any], manner: Manner, draw: float) -> Opinion:
    """Return the model's opinion; the likeliest grade is said unless ``draw`` in [0, 1) is one."""
    steps = max(len(grades) - 1, 1)
    likely = chances(overlap(texts, manner.order_bias / 2 / steps), len(grades))
    chosen = max(range(len(grades)), key=likely.__getitem__)
    if draw >= 0:
        reached, total = 0.0, sum(likely)
        for chosen, chance in enumerate(likely):  # noqa: B007 - where it stops is the sample
            reached += chance / total
            if reached > draw:
                break
    return Opinion(tuple(grades), likely, chosen, manner.say)


def tokens_of(value: Any) -> list[Token]:
    """Return the tokens of a value written as JSON, in which opinions stand for grades."""
    tokens: list[Token] = []
    plain = ""
    for part in _parts(value):
        if isinstance(part, Opinion):
            tokens += [*map(Token, _PIECE.findall(plain)), Token(str(part.said), part)]
            plain = ""
        else:
            plain += part
    return [*tokens, *map(Token, _PIECE.findall(plain))]


def pieces(text: str) -> list[str]:
    """Return a text in pieces that are counted as tokens."""
    return _PIECE.findall(text)


def logprobs_of(tokens: Sequence[Token], top: int) -> dict[str, Any]:
    """Return ``logprobs`` of a choice with the ``top`` likeliest tokens of each place."""
    return {"content": [_place(token, top) for token in tokens], "refusal": None}


def _place(token: Token, top: int) -> dict[str, Any]:
    if token.opinion is None:
        likely = [(token.text, 0.9999), ("\n", 0.0001)]
    else:
        names = map(str, token.opinion.grades)
        likely = [*zip(names, token.opinion.chances, strict=True), *NOISE]
        likely.sort(key=lambda pair: -pair[1])
    own = next((chance for text, chance in likely if text == token.text), 1e-6)
    return _entry(token.text, own) | {"top_logprobs": [_entry(*pair) for pair in likely[:top]]}


def _entry(text: str, chance: float) -> dict[str, Any]:
    logprob = math.log(chance) if chance > 1e-300 else -9999.0  # OpenAI's "practically never"
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _parts(value: Any) -> Iterator[str | Opinion]:
    if isinstance(value, Opinion):
        quote = '"' if isinstance(value.said, str) else ""
        yield from (quote, value, quote)
    elif isinstance(value, Mapping):
        yield from _listed("{", [(json.dumps(name) + ": ", item) for name, item in value.items()])
        yield "}"
    elif isinstance(value, list):
        yield from _listed("[", [("", item) for item in value])
        yield "]"
    else:
        yield json.dumps(value)


def _listed(start: str, items: list[tuple[str, Any]]) -> Iterator[str | Opinion]:
    for number, (name, item) in enumerate(items):
        yield (start if not number else ", ") + name
        yield from _parts(item)
    if not items:
        yield start
