"""How long an endpoint asks to wait, in every way endpoints say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 3_600.0  # seconds that are waited for; who asks for more is not asked again

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LIMITS: Final = ("requests", "tokens")


def wait_asked(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of ``retry-after-ms`` or ``Retry-After``; None where there is neither.

    The second is a number of seconds or an HTTP date (RFC 9110, 10.2.3); ``now`` is Unix time. The
    server's clock may differ from ours, so its ``Date`` header, where there is one, is what its
    date is held against. Where both are there, the longer wait is meant.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    waits = [
        None if milliseconds is None else milliseconds / 1_000,
        _retry_after(headers.get("retry-after", ""), headers.get("date", ""), now),
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def wait_until_allowed(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a limit that is used up is reset, from ``x-ratelimit-…`` headers."""
    waits = [
        duration(headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in _LIMITS
        if headers.get(f"x-ratelimit-remaining-{limit}", "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def duration(text: str) -> float | None:
    """Return "1m30s", "20ms" or "7" in seconds; None where it is not written like that."""
    plain = _number(text)
    if plain is not None:
        return plain
    written = text.strip().lower()
    parts = _PART.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _retry_after(text: str, sent: str, now: float) -> float | None:
    wait, until = duration(text), _date(text)
    if wait is not None or until is None:
        return wait
    moment = _date(sent)
    return max(0.0, until - (now if moment is None else moment))


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _date(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
