"""The table of faults: what each does, and whether the work was done and billed.

Adding one is a line here; the tests ask for every name in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tests.endpoint import breaks, changes, refusals
from tests.endpoint.breaks import Break
from tests.endpoint.changes import Change
from tests.endpoint.refusals import Replace
from tests.endpoint.wire import End


class Fault(NamedTuple):
    """What happens to one request; at most one of the three functions is there.

    The fault happens only to requests whose body is as ``when`` wants it. ``options`` are those
    that a rule may set, with their defaults.
    """

    does: str
    billed: bool
    replace: Replace | None = None  # another reply
    change: Change | None = None  # another completion
    broken: Break | None = None  # another way of sending it
    options: Mapping[str, Any] = {}
    when: Callable[[Mapping[str, Any]], Any] = lambda _: True


def _refused(does: str, replace: Replace, **options: Any) -> Fault:
    return Fault(does, billed=False, replace=replace, options=options)


def _limited(does: str, form: str, seconds: float | None = None) -> Fault:
    options = {} if seconds is None else {"retry_after": seconds}
    return _refused(f"429, {does}", refusals.rate_limited(form), **options)


def _says(does: str, **options: Any) -> Fault:
    """Return a fault whose option (`say` or `style`) the model itself obeys."""
    return Fault(does, billed=True, options=options)


def _changed(does: str, change: Change, **options: Any) -> Fault:
    return Fault(does, billed=True, change=change, options=options)


def _broken(does: str, broken: Break, **options: Any) -> Fault:
    return Fault(does, billed=True, broken=broken, options=options)


def _unasked(does: str, broken: Break) -> Fault:
    return Fault(does, billed=False, broken=broken)


def wants_schema(body: Mapping[str, Any]) -> bool:
    """Return whether the request asks for JSON of a schema."""
    return (body.get("response_format") or {}).get("type") == "json_schema"


def wants_logprobs(body: Mapping[str, Any]) -> bool:
    """Return whether the request asks for log-probabilities."""
    return bool(body.get("logprobs"))


_NO_QUOTA: Final = "You exceeded your current quota, please check your plan and billing details."
_TOO_LONG: Final = "This model's maximum context length is 512 tokens; your messages have more."
_NO_SCHEMA: Final = "Invalid parameter: 'response_format' of type 'json_schema' is not supported."
_NO_LOGPROBS: Final = "Unsupported parameter: 'logprobs' is not supported with this model."
_FAILED: Final = "The server had an error while processing your request."

FAULTS: Final[dict[str, Fault]] = {
    # refused before any work
    "rate_limited": _limited("Retry-After in whole seconds", "seconds", 1),
    "rate_limited_float": _limited("Retry-After with a fraction", "float", 0.5),
    "rate_limited_ms": _limited("retry-after-ms", "ms", 0.5),
    "rate_limited_date": _limited("Retry-After as an HTTP date", "date", 1),
    "rate_limited_long": _limited("Retry-After of an hour", "seconds", 3600),
    "rate_limited_reset": _limited("x-ratelimit-reset-requests only", "reset", 1),
    "rate_limited_words": _limited("Retry-After: soon", "words"),
    "rate_limited_bare": _limited("no word on how long", "none"),
    "no_quota": _refused(
        "429 insufficient_quota",
        refusals.error(429, _NO_QUOTA, "insufficient_quota", "insufficient_quota"),
    ),
    "bad_request": _refused("400", refusals.error(400, "Invalid value for 'messages'.")),
    "context_too_long": _refused(
        "400 context_length_exceeded", refusals.error(400, _TOO_LONG, "context_length_exceeded")
    ),
    "no_schema_support": _refused(
        "400 when a json_schema is asked for", refusals.error(400, _NO_SCHEMA)
    )._replace(when=wants_schema),
    "no_logprobs_support": _refused(
        "400 when logprobs are asked for", refusals.error(400, _NO_LOGPROBS)
    )._replace(when=wants_logprobs),
    "wrong_key": _refused("401, the key's ends in the message", refusals.wrong_key),
    "echoed_key": _refused("401, the whole key in the message", refusals.echoed_key),
    "forbidden": _refused("403", refusals.error(403, "Your project may not use this model.")),
    "model_not_found": _refused("404 model_not_found", refusals.unknown_model),
    "server_error": _refused("500", refusals.error(500, _FAILED)),
    "bad_gateway": _refused("502, a page of HTML", refusals.page(502, "502 Bad Gateway")),
    "unavailable": _refused("503, no word on how long", refusals.unavailable("none")),
    "unavailable_retry": _refused(
        "503, Retry-After in whole seconds", refusals.unavailable("seconds"), retry_after=1
    ),
    "html_200": _refused("200 with a page of HTML", refusals.page(200, "Please log in")),
    "error_200": _refused("200 with an error object", refusals.error_in_200),
    # nothing comes back, no work done
    "close_unread": _unasked("close before the body is read", breaks.ends(End.CLOSE)),
    "reset": _unasked("reset (RST) after the request", breaks.ends(End.RESET)),
    "hang": _unasked("never an answer", breaks.ends(End.HANG)),
    "not_http": _unasked("bytes that are no HTTP, then close", breaks.not_http),
    # work done, the answer is lost on the way or unreadable
    "gateway_timeout": Fault(
        "504, a page of HTML", billed=True, replace=refusals.page(504, "504 Gateway Time-out")
    ),
    "close_silent": _broken("close without an answer", breaks.ends(End.CLOSE)),
    "hang_in_body": _broken("half the body, then nothing", breaks.hang_in_body),
    "cut_head": _broken("close in the middle of the headers", breaks.cut_head),
    "cut_body": _broken("half the announced body, then close", breaks.cut_body),
    "reset_in_body": _broken("half the announced body, then RST", breaks.reset_in_body),
    "cut_chunks": _broken("chunked encoding, closed in a chunk", breaks.cut_chunks),
    "promises_more": _broken("Content-Length 64 too high, kept open", breaks.promises_more),
    "promises_less": _broken("Content-Length half of what is sent", breaks.promises_less),
    "invalid_json": Fault("200, half of the JSON", billed=True, replace=refusals.halved),
    "empty_body": Fault("200, no body", billed=True, replace=refusals.whole(b"")),
    "gzip_garbage": Fault(
        "200, said to be gzip and is not",
        billed=True,
        replace=refusals.whole(b"\x1f\x8b\x08\x00" + bytes(range(64)), encoding="gzip"),
    ),
    "wrong_shape": Fault(
        "200, JSON that is no completion",
        billed=True,
        replace=refusals.other_shape,
        options={"body": {"result": "ok"}},
    ),
    # work done, the answer arrives and is wrong
    "empty_choices": _changed("200, choices: []", changes.no_choices),
    "null_content": _changed("200, content: null", changes.message(content=None)),
    "empty_content": _changed("200, content: ''", changes.message(content="")),
    "refusal": _changed(
        "200, message.refusal", changes.message(content=None, refusal=changes.APOLOGY)
    ),
    "content_filter": _changed(
        "200, finish_reason content_filter", changes.message("content_filter", content="")
    ),
    "cut_off": _changed("200, half the text, finish_reason length", changes.cut_off),
    "reasoning_only": _changed(
        "200, no text, tokens spent on reasoning, cut off",
        changes.reasoned,
        tokens=64,
    ),
    "stale_answer": _changed("200, the answer to the request before", changes.stale),
    "scripted": _changed("200, the text of the rule", changes.says, content=""),
    "no_usage": _changed("200 without usage", changes.no_usage),
    "no_logprobs": _changed("200 without the logprobs asked for", changes.logprobs(None))._replace(
        when=wants_logprobs
    ),
    "empty_logprobs": _changed(
        "200, logprobs of no token", changes.logprobs({"content": [], "refusal": None})
    )._replace(when=wants_logprobs),
    "nan_logprobs": _changed("200, logprobs NaN", changes.logprobs(math.nan))._replace(
        when=wants_logprobs
    ),
    "out_of_scale": _says("200, a score of 97", say=97),
    "not_a_number": _says("200, a score of 'similar'", say="similar"),
    "no_schema": _says("200, prose although a schema is asked for", style="prose")._replace(
        when=wants_schema
    ),
    # work done, the answer is good
    "slow": _broken("good, half a second late", breaks.slow, seconds=0.5),
    "drip": _broken("good, one byte a second", breaks.drip, interval=1.0),
    "extra_response": _broken("good, and sent twice on the connection", breaks.twice),
    "close_after": _broken("good, then close without announcing it", breaks.then_close),
}
