"""One request: only to public addresses, with limits on time and on size, no redirect followed.

The check of addresses sits where sockets are made, so whatever a name resolves to, now or at the
next look, what is connected to is what was checked. There are no cookies, and proxies of the
environment are ignored: behind one, the check would see the proxy's address alone.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.sections import WebSettings
from pipeline.sources.crawl.addresses import refusal

MEGABYTE: Final = 1_000_000
_CHUNK: Final = 1 << 16
_GZIP: Final = 31  # window bits that mean "with gzip's header"
_AGAIN: Final = frozenset(
    {"timeout", "connection", "dns", "bad_response", "robots_unreachable", "http_408", "http_429"}
)
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip"})


class FetchError(Exception):
    """Why there is no answer: a reason to count by, and what was found, in words.

    ``wait`` is how many seconds the site asks to be left alone, if it does.
    """

    def __init__(self, reason: str, detail: str = "", wait: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.wait = reason, detail, wait

    @property
    def worth_trying(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.reason in _AGAIN or self.reason.startswith("http_5")

    @property
    def lasting(self) -> bool:
        """Whether it says something of the page; false: an earlier copy of it is still good."""
        return not self.worth_trying and self.reason != "tls"


class Response(NamedTuple):
    """An answer; ``body`` is empty unless the status is 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    received: int = 0  # bytes of the body as they came


class Wanted(NamedTuple):
    """What is asked for, and what of it is taken."""

    url: str
    headers: Mapping[str, str]
    size: int  # bytes, as received and unpacked
    accepts: Callable[[Mapping[str, str]], str] = lambda _: ""  # why the body is not read, or ""
    cut: bool = False  # take the first `size` bytes of what is larger


class _CheckedResolver(AbstractResolver):
    """Resolves a name; one address that is not public refuses the name."""

    def __init__(self, resolver: AbstractResolver, check: Callable[[str], None]) -> None:
        self._resolver, self._check = resolver, check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``, all of them checked."""
        found = await self._resolver.resolve(host, port, family)
        for address in found:
            self._check(address["host"])
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class Client:
    """Sends requests; use as an asynchronous context manager, inside one event loop."""

    def __init__(self, settings: WebSettings, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver

    async def __aenter__(self) -> Client:
        resolver = self._resolver or aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(resolver, self._check),
            socket_factory=self._socket,  # the resolver is not asked about "http://127.0.0.1/"
            limit=self._settings.concurrency,
            limit_per_host=1,
        )
        agent = f"{self._settings.user_agent}/1.0 (+{self._settings.contact})"
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": agent, "Accept-Encoding": "gzip"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, wanted: Wanted) -> Response:
        """Return the answer to one request.

        Raises:
            FetchError: when there is none, or its body is not one that is wanted.
        """
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._get(wanted)
        except TimeoutError as error:
            detail = f"not there after {self._settings.timeout:g} s"
            raise FetchError("timeout", detail) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise FetchError(_reason(error), str(error)[:300]) from error

    async def _get(self, wanted: Wanted) -> Response:
        async with self._session.get(
            wanted.url, headers=wanted.headers, allow_redirects=False
        ) as reply:
            if reply.status != 200:
                reply.close()  # the body is not waited for
                return Response(reply.status, reply.headers)
            if why := wanted.accepts(reply.headers):
                reply.close()
                raise FetchError("not_text", why)
            body, received = await _body(reply, wanted)
            return Response(reply.status, reply.headers, body, received)

    def _check(self, address: str) -> None:
        if why := refusal(address, allow_loopback=self._settings.allow_loopback):
            raise FetchError("private_address", f"{address} is {why}")

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        self._check(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)


async def _body(reply: aiohttp.ClientResponse, wanted: Wanted) -> tuple[bytes, int]:
    """Return the body, unpacked, and the number of bytes it came in."""
    encoding = reply.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise FetchError("encoding", f"Content-Encoding is {encoding[:100]!r}")
    if (reply.content_length or 0) > wanted.size and not wanted.cut:
        raise _too_large(wanted)
    unpacker = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
    body, received = bytearray(), 0
    async for chunk in reply.content.iter_chunked(_CHUNK):
        received += len(chunk)
        room = wanted.size + 1 - len(body)
        body += chunk if unpacker is None else _unpacked(unpacker, chunk, room)
        if max(len(body), received) > wanted.size:
            if not wanted.cut:
                raise _too_large(wanted)
            reply.close()
            return bytes(body[: wanted.size]), received
    if unpacker is not None and not unpacker.eof and received:
        raise FetchError("broken", "the packed body ends too soon")
    return bytes(body), received


def _unpacked(unpacker: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        return unpacker.decompress(chunk, room)
    except zlib.error as error:
        raise FetchError("broken", f"cannot be unpacked: {error}") from error


def _too_large(wanted: Wanted) -> FetchError:
    return FetchError("too_large", f"more than {wanted.size / MEGABYTE:g} MB")


def _reason(error: Exception) -> str:
    """Return the name under which an error of the client is counted."""
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return reason
    return "connection"


_REASONS: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((aiohttp.ClientConnectorDNSError,), "dns"),
    ((aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError), "tls"),
    ((aiohttp.InvalidURL,), "bad_url"),
    ((aiohttp.ClientResponseError,), "bad_response"),
    ((ValueError,), "bad_url"),
)
