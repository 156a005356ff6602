"""Replies in place of an answer: too many requests, bad requests, failing servers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, NamedTuple

from tests.endpoint.wire import Reply, error_reply, html_reply, json_reply


class Case(NamedTuple):
    """The request that a fault happens to, and the options of the fault."""

    body: Mapping[str, Any]
    token: str = ""  # what the Authorization header carried; goes into a reply and nowhere else
    previous: Mapping[str, Any] | None = None  # the completion answered before
    options: Mapping[str, Any] = {}


Replace = Callable[[Reply, Case], Reply]


def rate_limited(form: str) -> Replace:
    """Return a 429 that says in one of several forms how long to wait."""

    def replace(_: Reply, case: Case) -> Reply:
        wait = float(case.options.get("retry_after", 0))
        reply = error_reply(
            429, "Rate limit reached for requests", "rate_limit_exceeded", "requests"
        )
        return told_to_wait(reply, form, wait)

    return replace


def too_many(what: str) -> Reply:
    """Return a 429 about requests, tokens or requests at a time."""
    message = f"Rate limit reached for {what}"
    return error_reply(429, message, "rate_limit_exceeded", "requests")


def told_to_wait(reply: Reply, form: str, wait: float) -> Reply:
    """Return the reply with a header of this form that asks to wait for ``wait`` seconds."""
    headers: dict[str, str] = {}
    if form == "date":
        date = math.ceil(time.time() + wait)
        headers = {**reply.headers, "retry-after": formatdate(date, usegmt=True)}
        return reply._replace(headers=headers, until=time.monotonic() + date - time.time())
    if form == "seconds":
        wait = math.ceil(wait)
        headers = {"retry-after": str(wait)}
    elif form == "float":
        headers = {"retry-after": f"{wait:g}"}
    elif form == "ms":
        headers = {"retry-after-ms": f"{1000 * wait:g}"}
    elif form == "reset":
        headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": span(wait)}
    elif form == "words":
        headers = {"retry-after": "soon"}
    return reply._replace(headers={**reply.headers, **headers}, wait=wait)


def span(seconds: float) -> str:
    """Return a span of time as OpenAI writes it: 250ms, 1.5s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{math.ceil(1000 * seconds)}ms"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest}s"


def error(status: int, message: str, code: str | None = None, kind: str = "") -> Replace:
    """Return a fault that answers with an error object."""
    return lambda _, __: error_reply(status, message, code, kind)


def unavailable(form: str) -> Replace:
    """Return a 503 that may say how long to wait."""

    def replace(_: Reply, case: Case) -> Reply:
        reply = error_reply(503, "The engine is overloaded, please try again later")
        return told_to_wait(reply, form, float(case.options.get("retry_after", 0)))

    return replace


def page(status: int, title: str) -> Replace:
    """Return a fault that answers with a page of HTML."""
    return lambda _, __: html_reply(status, title)


def wrong_key(_: Reply, case: Case) -> Reply:
    """Answer 401 with the key's ends in the message, as OpenAI does."""
    shown = f"{case.token[:7]}{'*' * 8}{case.token[-4:]}" if case.token else "none"
    return error_reply(401, f"Incorrect API key provided: {shown}.", "invalid_api_key")


def echoed_key(_: Reply, case: Case) -> Reply:
    """Answer 401 with the whole key in the message, as careless proxies do."""
    return error_reply(401, f"Authentication failed for key {case.token!r}", "invalid_api_key")


def unknown_model(_: Reply, case: Case) -> Reply:
    """Answer 404 with the model's name."""
    name = case.body.get("model", "")
    message = f"The model `{name}` does not exist or you do not have access to it."
    return error_reply(404, message, "model_not_found")


def whole(body: bytes, kind: str = "application/json", encoding: str = "") -> Replace:
    """Return a fault that answers 200 with this body."""
    headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
    return lambda _, __: Reply(200, body, headers)


def halved(reply: Reply, _: Case) -> Reply:
    """Cut the JSON in half and say that this is all of it."""
    return reply._replace(body=reply.body[: len(reply.body) // 2])


def other_shape(_: Reply, case: Case) -> Reply:
    """Answer 200 with JSON that is no completion."""
    return json_reply(case.options["body"])


def error_in_200(_: Reply, __: Case) -> Reply:
    """Answer 200 with an error object."""
    return json_reply({"error": {"message": "Provider returned error", "code": 502}})
