"""Faults of the connection: the steps in which a good reply is sent badly."""

from __future__ import annotations

from collections.abc import Callable

from tests.endpoint.refusals import Case
from tests.endpoint.wire import End, Reply, Step, encode, head

Break = Callable[[Reply, Case], list[Step]]


def ends(end: End) -> Break:
    """Send nothing and end."""
    return lambda _, __: [end]


def hang_in_body(reply: Reply, _: Case) -> list[Step]:
    """Send half the body, then nothing, for ever."""
    return [head(reply, len(reply.body)) + _half(reply.body), End.HANG]


def drip(reply: Reply, case: Case) -> list[Step]:
    """Send the whole reply one byte at a time."""
    steps: list[Step] = []
    for byte in encode(reply):
        steps += [bytes([byte]), float(case.options["interval"])]
    return steps


def slow(reply: Reply, case: Case) -> list[Step]:
    """Send a good reply late."""
    return [float(case.options["seconds"]), encode(reply)]


def cut_head(reply: Reply, _: Case) -> list[Step]:
    """Close in the middle of the headers."""
    return [_half(head(reply, len(reply.body))), End.CLOSE]


def cut_body(reply: Reply, _: Case) -> list[Step]:
    """Announce the whole body, send half of it and close."""
    return [head(reply, len(reply.body)) + _half(reply.body), End.CLOSE]


def reset_in_body(reply: Reply, _: Case) -> list[Step]:
    """Announce the whole body, send half of it and reset the connection."""
    return [head(reply, len(reply.body)) + _half(reply.body), 0.05, End.RESET]


def promises_more(reply: Reply, _: Case) -> list[Step]:
    """Announce 64 bytes more than are sent, and keep the connection open."""
    return [head(reply, len(reply.body) + 64) + reply.body, End.HANG]


def promises_less(reply: Reply, _: Case) -> list[Step]:
    """Announce half of what is sent; the rest is in the way of the next answer."""
    return [head(reply, len(reply.body) // 2) + reply.body]


def cut_chunks(reply: Reply, _: Case) -> list[Step]:
    """Send a chunk of half the body, a piece of the next and close."""
    chunked = reply._replace(headers={**reply.headers, "transfer-encoding": "chunked"})
    half = _half(reply.body)
    size = len(reply.body) - len(half)
    sent = b"%x\r\n%s\r\n%x\r\n%s" % (len(half), half, size, reply.body[-size:][: size // 2])
    return [head(chunked, None) + sent, End.CLOSE]


def not_http(_: Reply, __: Case) -> list[Step]:
    """Send bytes that are no HTTP and close."""
    return [b"\x15\x03\x01\x00\x02\x02\x46 this port speaks something else\r\n", End.CLOSE]


def twice(reply: Reply, _: Case) -> list[Step]:
    """Send the reply and, unasked, once more on the same connection."""
    return [encode(reply) + encode(reply)]


def then_close(reply: Reply, _: Case) -> list[Step]:
    """Send the reply, promise to keep the connection, and close it."""
    return [encode(reply), 0.001, End.CLOSE]


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]
