"""One OpenAI-compatible endpoint: a request goes out once, and an answer or a fault comes back.

`openai`'s client says where a request goes and how it authenticates, at OpenAI, Azure and all the
others. It does not send it: it would post again without a word, its transport calls a connection
that broke after sending one that was never made, and neither knows a deadline for a request as a
whole. Answers are taken as the bytes that came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import openai

from pipeline.chat.faults import Fault, UnsentError, from_exception, from_status
from pipeline.chat.prices import is_local
from pipeline.chat.waiting import wait_until_allowed
from pipeline.errors import ConfigError
from pipeline.settings import secret

if TYPE_CHECKING:
    from pipeline.sections import ChatSettings

_PATH: Final = "/chat/completions"
_OWN: Final = frozenset({"host", "content-length", "accept-encoding", "connection"})
LARGEST: Final = 8 * 2**20  # bytes of an answer
CONNECT: Final = 6.0  # seconds; what takes longer has not been sent
IDLE: Final = 4.0  # seconds that a connection waits for reuse; many servers close it after five


class Answer(NamedTuple):
    """The body of an HTTP 200 as it came; ``wait`` until a limit that is now used up is reset."""

    body: bytes
    wait: float | None


class Endpoint:
    """An endpoint as configured; an asynchronous context manager.

    Raises:
        ConfigError: when the key is not in the environment, or the URL is none.
    """

    def __init__(self, name: str, settings: ChatSettings) -> None:
        self.name, self.settings = name, settings
        self._key = _key(name, settings)
        self._url, self._headers = _addressed(name, settings, self._key)

    async def __aenter__(self) -> Self:
        settings, https = self.settings, self._url.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.concurrency,
                keepalive_timeout=IDLE,
                ssl=httpx2.create_ssl_context() if https else True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(connect=min(CONNECT, settings.timeout / 2)),
            request_class=_Request,
            headers=self._headers,
            proxy=_proxy(self._url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._session.close()

    async def send(self, body: Mapping[str, Any]) -> Answer | Fault:
        """Post ``body`` once and return what came of it; no failure raises."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            async with (
                asyncio.timeout(self.settings.timeout),
                self._session.post(self._url, data=data, allow_redirects=False) as response,
            ):
                came = await _body(response)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this request alone
            return self._discreet(from_exception(error))
        if 200 <= response.status < 300:
            if self._key:
                came = came.replace(self._key.encode(), "…".encode())
            return Answer(came, wait_until_allowed(response.headers))
        fault = from_status(response.status, response.headers, came.decode("utf-8", "replace"))
        return self._discreet(fault)

    def _discreet(self, fault: Fault) -> Fault:
        """Take the key out of what an endpoint or a library said."""
        return fault._replace(detail=fault.detail.replace(self._key, "…")) if self._key else fault


class _Request(aiohttp.ClientRequest):
    """A request that goes out only where no answer to another one is waiting to be read."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send the request, or raise `UnsentError`."""
        if conn.protocol is None or conn.protocol.should_close:
            message = "the connection held something that was not asked for"
            raise UnsentError(message)
        return await super().send(conn)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            message = f"the answer has more than {LARGEST:,} bytes"
            raise aiohttp.ClientPayloadError(message)
    return b"".join(parts)


def _addressed(name: str, settings: ChatSettings, key: str) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers with which the client of `openai` would ask."""
    taken: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        taken.append(request)
        message = "not to be sent"
        raise httpx2.ConnectError(message)

    with httpx2.Client(transport=httpx2.MockTransport(take)) as transport:
        shared: dict[str, Any] = {
            "api_key": key or "none", "max_retries": 0, "http_client": transport,
        }  # fmt: skip
        try:
            client: openai.OpenAI
            if settings.api_version:
                client = openai.AzureOpenAI(
                    azure_endpoint=settings.base_url, api_version=settings.api_version, **shared
                )
            else:
                client = openai.OpenAI(base_url=settings.base_url, **shared)
            client.post(_PATH, cast_to=httpx2.Response, body={"model": settings.model})
        except (httpx2.InvalidURL, openai.OpenAIError, ValueError) as error:
            if not taken:
                message = f"chat.{name}.base_url: {settings.base_url!r} is no URL ({error})"
                raise ConfigError(message) from None
    request = taken[0]
    return str(request.url), {
        field: value for field, value in request.headers.items() if field.lower() not in _OWN
    }


def _proxy(url: str) -> str | None:
    """Return the proxy that the system wants between here and ``url``."""
    parts = urlsplit(url)
    if is_local(url) or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _key(name: str, settings: ChatSettings) -> str:
    """Return the key; nothing where the endpoint needs none."""
    if not settings.key:
        return ""
    value = secret(settings.key).strip()
    if not value:
        message = (
            f"chat.{name}.key: there is no {settings.key} in the environment or in .env here; set "
            f"it, or chat.{name}.key='' for an endpoint that needs none"
        )
        raise ConfigError(message)
    if not (value.isascii() and value.isprintable()) or " " in value:
        message = f"chat.{name}.key: {settings.key} holds characters that no key has; set it anew"
        raise ConfigError(message)
    return value
