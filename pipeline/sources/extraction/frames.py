"""What goes between the worker and its owner: length, header, bytes. JSON, never pickle."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from pipeline.sources.extraction.outcome import REASONS, Extracted, Failed, Kind

_LENGTHS: Final = struct.Struct(">IQ")  # of the header, of the data
_LONGEST: Final = 1 << 28  # bytes; a worker that has been taken over could claim anything
_CHUNK: Final = 1 << 20

Remaining = Callable[[], float]


class Request(NamedTuple):
    """A page to extract."""

    kind: Kind
    url: str
    charset: str
    seconds: float
    size: int
    depth: int
    links: int


def send(channel: socket.socket, header: Any, data: bytes, remaining: Remaining | None) -> None:  # noqa: ANN401 - any JSON
    """Send a header and bytes.

    Raises:
        TimeoutError: when the other side does not take them in time.
    """
    encoded = json.dumps(header).encode()
    channel.settimeout(remaining() if remaining else None)
    channel.sendall(_LENGTHS.pack(len(encoded), len(data)) + encoded)
    channel.sendall(data)


def send_request(
    channel: socket.socket, request: Request, data: bytes, remaining: Remaining
) -> None:
    """Send a page to the worker."""
    send(channel, request, data, remaining)


def receive(channel: socket.socket, remaining: Remaining | None = None) -> tuple[Any, bytes]:
    """Return the next header and its bytes.

    Raises:
        TimeoutError: when they do not come in time.
        EOFError: when the other side has gone.
        ValueError: when they are no frame.
    """
    header, data = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size, remaining))
    if header > _LONGEST or data > _LONGEST:
        message = f"a frame of {header} and {data} bytes"
        raise ValueError(message)
    decoded = json.loads(_exactly(channel, header, remaining))
    return decoded, _exactly(channel, data, remaining)


def _exactly(channel: socket.socket, count: int, remaining: Remaining | None) -> bytes:
    received = bytearray()
    while len(received) < count:
        channel.settimeout(remaining() if remaining else None)
        chunk = channel.recv(min(_CHUNK, count - len(received)))
        if not chunk:
            message = "the process ended"
            raise EOFError(message)
        received += chunk
    return bytes(received)


def wrapped(found: Extracted | Failed) -> dict[str, Any]:
    """Return ``found`` as JSON data."""
    return {"failed": isinstance(found, Failed), **found._asdict()}


def answer(frame: tuple[Any, bytes]) -> Extracted | Failed:
    """Return what the worker said.

    Raises:
        ValueError: when it is nothing a worker of ours says.
    """
    try:
        values = dict(frame[0])
        if values.pop("failed"):
            failed = Failed(**values)
            if failed.reason in REASONS:
                return failed
        else:
            values["links"] = tuple(values["links"])
            return _checked(Extracted(**values))
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    message = f"an unknown reason: {failed.reason!r}"
    raise ValueError(message)


def _checked(found: Extracted) -> Extracted:
    texts = [value for value in (*found, *found.links) if value is not found.links]
    if not all(isinstance(value, str) for value in cast("list[object]", texts)):
        message = "something other than text"
        raise TypeError(message)
    return found
