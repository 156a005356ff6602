"""How long an endpoint asks to wait, in every way endpoints say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 3_600.0  # seconds that are waited for; who asks for more is not asked again

_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LIMITS: Final = ("requests", "tokens")


def wait_asked(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of ``retry-after-ms`` or ``Retry-After``; None where there is neither.

    The second is a number of seconds or an HTTP date (RFC 9110, 10.2.3); ``now`` is Unix time. The
    server's clock may differ from ours, so its ``Date`` header, where there is one, is what its
    date is held against.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after", "")
    wait = duration(text)
    until = _date(text)
    if wait is not None or until is None:
        return wait
    sent = _date(headers.get("date", ""))
    return max(0.0, until - (now if sent is None else sent))


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


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _date(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
