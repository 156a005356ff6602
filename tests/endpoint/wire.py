"""Replies as bytes of HTTP/1.1, and the steps in which they are sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple


class End(Enum):
    """How sending ends when it is not with the last byte."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


Step = bytes | float | End  # bytes to send, seconds to wait, or an end


class Reply(NamedTuple):
    """A reply before it becomes bytes, and what it says about the next request."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    wait: float = 0.0  # seconds from its arrival in which the client is not to come
    until: float = 0.0  # or the end of them on the monotonic clock


class Answer(NamedTuple):
    """What a connection does about a request, and whom it tells when that is done."""

    steps: list[Step]
    begin: float  # on the monotonic clock
    done: Callable[[bool], None] | None = None  # called once; true when the client had gone


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Reply:
    """Return ``value`` as JSON."""
    return Reply(
        status, json.dumps(value).encode(), {"content-type": "application/json", **headers}
    )


def html_reply(status: int, title: str) -> Reply:
    """Return the kind of page that a proxy puts in place of an answer."""
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body><center><h1>{title}</h1></center></body>\r\n</html>\r\n"
    )
    return Reply(status, page.encode(), {"content-type": "text/html"})


def error_reply(status: int, message: str, code: str | None = None, kind: str = "") -> Reply:
    """Return an error object as OpenAI writes it."""
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    return json_reply(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}, status
    )


def head(reply: Reply, length: int | None) -> bytes:
    """Return the status line and the headers, without a Content-Length when ``length`` is None."""
    lines = [_first_lines(reply.status, int(time.time()))]
    lines += [f"{name}: {value}\r\n" for name, value in reply.headers.items()]
    if length is not None:
        lines.append(f"content-length: {length}\r\n")
    return ("".join(lines) + "\r\n").encode("latin-1")


def encode(reply: Reply) -> bytes:
    """Return the whole reply, well formed."""
    return head(reply, len(reply.body)) + reply.body


@lru_cache(64)
def _first_lines(status: int, second: int) -> str:
    phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\ndate: {formatdate(second, usegmt=True)}\r\n"
