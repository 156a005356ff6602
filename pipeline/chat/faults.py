"""What can go wrong with a request, and what each thing means for money and for trying again.

| kind      | was the work done? | then                                                      |
|-----------|--------------------|-----------------------------------------------------------|
| throttled | no                 | wait as asked, fewer at a time; does not count as a try    |
| refused   | no                 | try again, up to a limit                                   |
| ambiguous | perhaps, and billed| uncertain: held, or sent again where the user says so      |
| final     | no                 | this question gets a reason instead of an answer           |
| fatal     | no                 | the endpoint cannot be used at all: stop and say why       |
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import aiohttp

from pipeline.chat.waiting import wait_asked, wait_until_allowed

_LOOKED_AT: Final = 2_000  # characters of what an endpoint says

Kind = Literal["throttled", "refused", "ambiguous", "final", "fatal"]


class Fault(NamedTuple):
    """Why there is no answer; ``wait`` is how many seconds the endpoint asked for."""

    kind: Kind
    reason: str
    wait: float | None = None
    detail: str = ""


# A gateway that gave up waiting (408, 502, 504, 52x) says nothing of the work behind it.
_BY_STATUS: Final[dict[int, tuple[Kind, str]]] = {
    **dict.fromkeys((301, 302, 303, 307, 308), ("fatal", "moved")),
    400: ("final", "bad_request"),
    401: ("fatal", "wrong_key"),
    402: ("fatal", "no_credit"),
    403: ("fatal", "forbidden"),
    404: ("fatal", "not_found"),
    405: ("fatal", "not_found"),
    408: ("ambiguous", "gateway_timeout"),
    409: ("refused", "conflict"),
    413: ("final", "too_long"),
    422: ("final", "bad_request"),
    425: ("refused", "too_early"),
    429: ("throttled", "rate_limited"),
    500: ("refused", "server_error"),
    501: ("fatal", "not_found"),
    502: ("ambiguous", "bad_gateway"),
    503: ("refused", "unavailable"),
    504: ("ambiguous", "gateway_timeout"),
    529: ("throttled", "overloaded"),
}
_BY_CODE: Final[dict[str, tuple[Kind, str]]] = {
    "insufficient_quota": ("fatal", "no_credit"),
    "billing_hard_limit_reached": ("fatal", "no_credit"),
    "invalid_api_key": ("fatal", "wrong_key"),
    "model_not_found": ("fatal", "no_such_model"),
    "context_length_exceeded": ("final", "too_long"),
    "content_filter": ("final", "content_filter"),
    "content_policy_violation": ("final", "content_filter"),
}


class UnsentError(aiohttp.ClientConnectionError):
    """A request was not sent."""


# By what broke; the first that fits. Nothing reached the endpoint with the first four.
_BY_CAUSE: Final[tuple[tuple[tuple[type[Exception], ...], Kind, str], ...]] = (
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError), "fatal", "wrong_url"),
    ((aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError), "refused", "cannot_connect"),
    ((aiohttp.ClientHttpProxyError,), "refused", "cannot_connect"),
    ((UnsentError,), "refused", "connection_lost"),
    ((TimeoutError,), "ambiguous", "timed_out"),
    ((aiohttp.ClientPayloadError,), "ambiguous", "answer_broken"),
    ((aiohttp.ClientError, OSError), "ambiguous", "connection_lost"),
    ((Exception,), "ambiguous", "unexpected"),
)


def from_exception(error: Exception) -> Fault:
    """Return what an exception means that sending a request raised."""
    kind, reason = next(
        (kind, reason) for types, kind, reason in _BY_CAUSE if isinstance(error, types)
    )
    return Fault(kind, reason, detail=_short(str(error)) or type(error).__name__)


def from_status(status: int, headers: Mapping[str, str], body: str) -> Fault:
    """Return what an HTTP error status means; ``body`` may name a code that says more."""
    code, detail = _error_of(body)
    kind, reason = _BY_CODE.get(code) or _BY_STATUS.get(status) or _unlisted(status)
    wait = wait_asked(headers, time.time())
    if wait is None:
        wait = wait_until_allowed(headers)
    if wait is not None and kind == "refused":  # who says when to come back counts no tries
        kind = "throttled"
    if reason == "moved":
        detail = _short(headers.get("location", ""))
    return Fault(kind, reason, wait, detail)


def _unlisted(status: int) -> tuple[Kind, str]:
    if status >= 520:
        return "ambiguous", "gateway_error"
    if status >= 500:
        return "refused", "server_error"
    return "final", f"http_{status}"


def _error_of(body: str) -> tuple[str, str]:
    """Return the code and the message of an error body, as far as there are any."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", _short(body)
    if not isinstance(error, dict):
        return "", _short(str(error))
    code = error.get("code") or error.get("type") or ""
    return str(code), _short(str(error.get("message") or ""))


def _short(text: str) -> str:
    return " ".join(text[:_LOOKED_AT].split())[:300]
