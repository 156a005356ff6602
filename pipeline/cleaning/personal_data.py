"""What leads to a person or opens a door, replaced by what it is.

The text keeps "[kind]" in its place. Only how many there were of each kind is reported, never what
they were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from pipeline.cleaning import checksums, contacts, credentials
from pipeline.sections import CleanSettings

Mask = Callable[[str], tuple[str, Counter[str]]]
Span = Callable[[re.Match[str]], tuple[int, int]]

NOTHING: Final = (0, 0)
_ROUNDS: Final = 8  # what a mask uncovers is found by the next round; two do


class Finder(NamedTuple):
    """Where data of a kind may be, and the part of a match that is.

    Repetitions are bounded or possessive, so that the time is linear in the length of a text. A
    text without the ``sign`` is not searched.
    """

    pattern: re.Pattern[str]
    sign: re.Pattern[str]
    span: Span = re.Match.span


def _when(check: Callable[[re.Match[str]], bool]) -> Span:
    return lambda match: match.span() if check(match) else NOTHING


def _iban(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), match.start() + checksums.iban_length(match.group())


def _secret(match: re.Match[str]) -> tuple[int, int]:
    return match.span("value") if credentials.is_secret(match) else NOTHING


def _number(match: re.Match[str]) -> tuple[int, int]:
    return match.span("number")


_DIGIT: Final = re.compile(r"\d")
_AT: Final = re.compile("@")
_COLON: Final = re.compile(":")
_DASHES: Final = re.compile("-----BEGIN")
_SET: Final = re.compile("[:=]")

# Kind -> what finds it, in this order. A new kind is one line here.
FINDERS: Final[dict[str, tuple[Finder, ...]]] = {
    "key": (
        Finder(credentials.PRIVATE_KEY, _DASHES),
        Finder(credentials.TOKEN, _DIGIT),
        Finder(credentials.BEARER, _DIGIT),
    ),
    "password": (
        Finder(credentials.IN_URL, _AT, _when(credentials.is_password)),
        Finder(credentials.ASSIGNED, _SET, _secret),
    ),
    "email": (Finder(contacts.EMAIL, _AT),),
    "iban": (Finder(checksums.IBAN, _DIGIT, _iban),),
    "card": (Finder(checksums.CARD, _DIGIT, _when(checksums.is_card)),),
    "ip": (
        Finder(checksums.IPV4, _DIGIT, _when(checksums.is_public_ipv4)),
        Finder(checksums.IPV6, _COLON, _when(checksums.is_public_ipv6)),
    ),
    "phone": (
        Finder(contacts.INTERNATIONAL, _DIGIT),
        Finder(contacts.NORTH_AMERICA, _DIGIT),
        Finder(contacts.FRANCE, _DIGIT),
        Finder(contacts.BRITAIN, _DIGIT),
        Finder(contacts.ANNOUNCED, _DIGIT, _number),
    ),
}


def masking(settings: CleanSettings) -> Mask:
    """Return what masks personal data as the settings say; make it once for many texts.

    Raises:
        ResourceError: when presidio is asked for and it, or its model, is not installed.
    """
    if not settings.mask_personal_data:
        return lambda text: (text, Counter())
    if settings.personal_data == "patterns":
        return mask
    from pipeline.cleaning.people import people  # noqa: PLC0415 - loads a language model

    hide_people = people(settings)

    def both(text: str) -> tuple[str, Counter[str]]:
        text, found = mask(text)
        text, more = hide_people(text)
        return text, found + more

    return both


def mask(text: str) -> tuple[str, Counter[str]]:
    """Return ``text`` with personal data masked, and how many of each kind there were.

    Masking twice masks nothing more.
    """
    counts: Counter[str] = Counter()
    for _ in range(_ROUNDS):
        found: Counter[str] = Counter()
        for kind, finders in FINDERS.items():
            for finder in finders:
                text, times = _masked(text, kind, finder)
                found[kind] += times
        counts += found
        if not found.total():
            break
    return text, counts


def _masked(text: str, kind: str, finder: Finder) -> tuple[str, int]:
    if not finder.sign.search(text):
        return text, 0
    times = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal times
        start, end = finder.span(match)
        if start == end:
            return match.group()
        times += 1
        return f"{text[match.start() : start]}[{kind}]{text[end : match.end()]}"

    return finder.pattern.sub(replaced, text), times
