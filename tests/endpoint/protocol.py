"""One connection: bytes in, requests out; the steps of an answer in, bytes out.

Requests that arrive while another is being answered wait in the buffer, so that a client may
pipeline them and finds the answers in the order of its requests.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, cast
from urllib.parse import parse_qsl

from tests.endpoint.wire import Answer, End, Reply, Step, encode, error_reply

MAX_HEAD: Final = 65_536  # bytes
_LINGER: Final = struct.pack("ii", 1, 0)  # on, no seconds: closing sends RST


class MalformedError(ValueError):
    """Bytes that are no request."""


class Head(NamedTuple):
    """A request without its body; names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Request(NamedTuple):
    """A whole request and when its last byte arrived, on the monotonic clock."""

    head: Head
    body: bytes
    arrived: float


class Answers(Protocol):
    """Whatever answers requests."""

    def unread(self, head: Head) -> bool:
        """Return whether the connection is to be closed before the body is read."""
        ...

    def answer(self, request: Request) -> Answer:
        """Return what to do about the request."""
        ...


def take_head(buffer: bytearray) -> Head | None:
    """Remove a request's head from the buffer and return it, or None while it is incomplete.

    Raises:
        MalformedError: when it is not one.
    """
    while buffer.startswith(b"\r\n"):
        del buffer[:2]
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise MalformedError("the head of the request is too long")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    del buffer[: end + 4]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise MalformedError("the first line is not 'METHOD TARGET HTTP/1.1'")
    headers = {"version": words[2]}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedError("a header has no colon")
        headers[name.strip().lower()] = value.strip()
    path, _, query = words[1].partition("?")
    return Head(words[0], path, dict(parse_qsl(query)) if query else {}, headers)


def take_body(buffer: bytearray, headers: Mapping[str, str]) -> bytes | None:
    """Remove a request's body from the buffer and return it, or None while it is incomplete.

    Raises:
        MalformedError: when its length cannot be told.
    """
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _take_chunks(buffer)
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise MalformedError("Content-Length is not a number")
    size = int(length)
    if len(buffer) < size:
        return None
    body = bytes(buffer[:size])
    del buffer[:size]
    return body


def _take_chunks(buffer: bytearray) -> bytes | None:
    parts: list[bytes] = []
    position = 0
    while (end := buffer.find(b"\r\n", position)) >= 0:
        try:
            size = int(buffer[position:end].split(b";")[0], 16)
        except ValueError:
            raise MalformedError("the size of a chunk is not a number") from None
        start, position = end + 2, end + 2 + size + 2
        if len(buffer) < position:
            return None
        if size == 0:
            del buffer[:position]
            return b"".join(parts)
        parts.append(bytes(buffer[start : start + size]))
    return None


class Connection(asyncio.Protocol):
    """A client's connection, kept open from request to request."""

    def __init__(self, server: Answers) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._head: Head | None = None
        self._answer: Answer | None = None
        self._steps: deque[Step] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last = False  # the client asked for the connection to be closed afterwards

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete, unless an answer is under way."""
        self._buffer += data
        self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the client has gone when an answer was under way."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self._finish(gone=True)

    def _serve(self) -> None:
        """Answer complete requests until one takes time or the connection is closing."""
        while self._answer is None and not self._transport.is_closing():
            try:
                request = self._take()
            except MalformedError as error:
                self._refuse(error_reply(400, f"not HTTP: {error}"))
                return
            if request is None:
                return
            headers = request.head.headers
            kept = "keep-alive" if headers["version"] == "HTTP/1.0" else ""
            self._last = headers.get("connection", kept or "keep-alive").lower() == "close"
            self._answer = self._server.answer(request)
            self._steps = deque(self._answer.steps)
            if self._answer.begin <= request.arrived:
                self._send()
            else:
                self._timer = self._loop.call_at(self._answer.begin, self._resume)

    def _take(self) -> Request | None:
        if self._head is None:
            self._head = take_head(self._buffer)
            if self._head is None:
                return None
            if self._server.unread(self._head):
                self._transport.close()
                return None
        body = take_body(self._buffer, self._head.headers)
        if body is None:
            return None
        request = Request(self._head, body, time.monotonic())
        self._head = None
        return request

    def _refuse(self, reply: Reply) -> None:
        self._transport.write(encode(reply))
        self._transport.close()

    def _resume(self) -> None:
        self._timer = None
        self._send()
        self._serve()

    def _send(self) -> None:
        """Take steps until one waits, the last is taken or the connection ends."""
        while self._steps:
            step = self._steps.popleft()
            if isinstance(step, bytes):
                self._transport.write(step)
            elif isinstance(step, float):
                self._timer = self._loop.call_later(step, self._resume)
                return
            else:
                self._end(step)
                return
        self._finish(gone=False)
        if self._last:
            self._transport.close()

    def _end(self, end: End) -> None:
        if end is End.HANG:
            return  # until the client closes
        self._finish(gone=False)
        if end is End.RESET:
            plug: socket.socket = self._transport.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            self._transport.abort()
        else:
            self._transport.close()

    def _finish(self, *, gone: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and answer.done is not None:
            answer.done(gone)
