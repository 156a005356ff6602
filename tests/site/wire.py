"""Answers of the site, and how they go over the wire."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit


class Asked(NamedTuple):
    """A request."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Reply(NamedTuple):
    """An answer.

    ``drip`` is seconds between single bytes of the body; ``cut`` ends the connection halfway.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    drip: float = 0.0
    cut: bool = False


def html(title: str, body: str, **headers: str) -> Reply:
    text = (
        f"<!doctype html><html><head><meta charset=utf-8><title>{title}</title></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    kind = {"Content-Type": "text/html; charset=utf-8"}
    return Reply(200, kind | headers, text.encode())


def plain(text: str, kind: str = "text/plain") -> Reply:
    return Reply(200, {"Content-Type": kind}, text.encode())


def redirect(target: str, status: int = 302) -> Reply:
    return Reply(status, {"Location": target}, b"")


def conditional(asked: Asked, reply: Reply) -> Reply:
    """Give a page an entity tag, and answer 304 to who has it already."""
    if reply.status != 200 or reply.drip:
        return reply
    tag = f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
    headers = {**reply.headers, "ETag": tag}
    if asked.headers.get("if-none-match") == tag:
        return Reply(304, headers)
    return reply._replace(headers=headers)


async def receive(reader: asyncio.StreamReader) -> Asked | None:
    """Return the next request on a connection, None at its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    target = urlsplit(first.split(" ")[1])
    return Asked(unquote(target.path), dict(parse_qsl(target.query)), headers)


async def send(writer: asyncio.StreamWriter, reply: Reply) -> int:
    """Send an answer; return how many bytes of its body went out."""
    length = (
        {}
        if reply.status == 304
        else {"Content-Length": str(len(reply.body) * (2 if reply.cut else 1))}
    )
    lines = [
        f"HTTP/1.1 {reply.status} X",
        *(f"{k}: {v}" for k, v in {**reply.headers, **length}.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if not reply.drip:
        writer.write(reply.body)
        await writer.drain()
        return len(reply.body)
    for at in range(len(reply.body)):
        writer.write(reply.body[at : at + 1])
        await writer.drain()
        await asyncio.sleep(reply.drip)
    return len(reply.body)
