"""What the endpoint's own tests say to it over a bare socket, and what they hear."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tests.endpoint.fixtures import Endpoint

SCHEMA: Final = {
    "type": "object",
    "properties": {"score": {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]}},
    "required": ["score"],
    "additionalProperties": False,
}
KEY: Final = "sk-secret-of-the-tests"


class Heard(NamedTuple):
    """What came back, and whether the connection is then open, closed or reset."""

    data: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1]) if self.data.startswith(b"HTTP/1.1 ") else 0

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode().lower()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def length(self) -> int:
        """The announced length of the body; -1 when there is none."""
        found = [row for row in self.head.split("\r\n") if row.startswith("content-length: ")]
        return int(found[0].split(": ")[1]) if found else -1


def question(
    first: str = "a red apple", second: str = "a green apple", **more: Any
) -> dict[str, Any]:
    """Return the body of a question about two texts."""
    content = f"<first>{first}</first>\n<second>{second}</second>"
    messages = [{"role": "system", "content": "Rate."}, {"role": "user", "content": content}]
    return {"model": "m", "messages": messages, **more}


def with_schema(schema: Mapping[str, Any] = SCHEMA) -> dict[str, Any]:
    """Return the part of a body that asks for JSON of a schema."""
    named = {"name": "s", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def request(body: Any, path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    """Return a POST as bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: tests\r\nauthorization: Bearer {KEY}\r\n{headers}"
        f"content-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def talk(port: int, said: bytes, patience: float = 0.05, *, silent: bool = False) -> Heard:
    """Say something on a new connection and listen.

    Args:
        port: of the endpoint.
        said: all that is sent.
        patience: seconds without a byte, after the first, that end the listening.
        silent: whether nothing is expected to come.
    """
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plug:
        plug.sendall(said)
        plug.settimeout(patience if silent else 10)
        while True:
            try:
                data = plug.recv(65_536)
            except TimeoutError:
                return Heard(heard, "open")
            except ConnectionResetError:
                return Heard(heard, "reset")
            if not data:
                return Heard(heard, "closed")
            heard += data
            plug.settimeout(patience)


def ask(port: int, body: Any, path: str = "/v1/chat/completions") -> Any:
    """Return the JSON answer to a question."""
    return json.loads(talk(port, request(body, path, "connection: close\r\n"), 10).body)


def status(port: int, body: Any, path: str = "/v1/chat/completions") -> int:
    """Return the status of the answer to a question."""
    return talk(port, request(body, path, "connection: close\r\n"), 10).status


def statuses(port: int, *bodies: Any) -> list[int]:
    """Return the statuses of the answers to questions asked one after the other."""
    return [status(port, body) for body in bodies]


def numbered(number: int) -> dict[str, Any]:
    """Return a question of its own for each number."""
    return question(f"text {number}", f"another text {number}")


def answers(plug: socket.socket, count: int) -> list[Any]:
    """Return the JSON of so many answers from one connection."""
    data = b""
    found: list[Any] = []
    while len(found) < count:
        data += plug.recv(65_536)
        while (whole := Heard(data, "open")).length >= 0 and len(whole.body) >= whole.length:
            found.append(json.loads(whole.body[: whole.length]))
            data = whole.body[whole.length :]
    assert data == b""
    return found


def until_under_way(endpoint: Endpoint, count: int) -> None:
    """Wait until so many requests are under way."""
    end = time.monotonic() + 10
    while endpoint.summary()["in_flight"] != count:
        assert time.monotonic() < end
        time.sleep(0.01)
