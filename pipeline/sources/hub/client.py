"""Asking GitHub, one request at a time: retries, rate limits, conditional requests.

The token goes to the host of ``collect.github.base_url`` and nowhere else: pages and redirects that
lead to another host are refused.
"""

from __future__ import annotations

import json
import logging
import time
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from pipeline.sections import GitHubSettings
from pipeline.settings import secret
from pipeline.sources.hub import limits
from pipeline.sources.hub.limits import Answer, Trouble

log = logging.getLogger(__name__)

API_VERSION: Final = "2022-11-28"
MAX_TRIES: Final = 4
FIRST_PAUSE: Final = 1.0  # seconds before the second try; doubles
MAX_REDIRECTS: Final = 5
MAX_BYTES: Final = 64 << 20  # of one answer, unpacked
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SLOW: Final = 4.0  # an answer may take this many times the timeout of a single read


class Client:
    """A connection to the API of one host; use as a context manager."""

    def __init__(self, settings: GitHubSettings) -> None:
        self._settings = settings
        self.base = settings.base_url.rstrip("/")
        self.requests = self.received = 0
        token = secret(settings.token).strip() if settings.token else ""
        self.token = settings.token if token else ""  # the name of its variable
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": "angle-adapt",
        }
        if token and _is_plausible(token):
            headers["Authorization"] = f"Bearer {token}"
        self._unusable = _unusable(self.base, token, settings.token)
        self._http = httpx2.Client(headers=headers, timeout=settings.timeout)
        self._waited = 0.0
        self._free_at = 0.0  # by the monotonic clock: when the rate limit lets us ask again

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()

    def get(self, url: str, etag: str = "") -> Answer:
        """Return what is at ``url``: status 200, or 304 where it is still what ``etag`` names.

        Raises:
            Trouble: when it cannot be had, after waits and retries where these can help.
        """
        return self._ask("GET", url, {"If-None-Match": etag} if etag else {}, None)

    def post(self, url: str, body: object) -> Answer:
        """Return the answer to a question put as JSON; status 200.

        Raises:
            Trouble: as for ``get``.
        """
        return self._ask("POST", url, {}, body)

    def _ask(self, method: str, url: str, headers: dict[str, str], body: object) -> Answer:
        if self._unusable:
            raise Trouble("bad_token", self._unusable, everywhere=True)
        failures = limited = redirects = 0
        while True:
            self._hold()
            try:
                answer = self._send(method, self._own(url), headers, body)
            except (httpx2.RequestError, httpx2.InvalidURL, UnicodeError) as error:
                failures = self._failed(failures, _unreachable(self.base, error))
                continue
            if answer.status in (200, 304):
                return answer
            if answer.status in (301, 302, 307, 308) and redirects < MAX_REDIRECTS:
                redirects, url = redirects + 1, _redirected(url, answer.next)
            elif (seconds := limits.pause(answer, limited + 1, time.time())) is not None:
                limited += 1
                self._wait(seconds)
            elif answer.status >= 500:
                detail = f"GitHub answers with status {answer.status} {answer.message}".strip()
                failures = self._failed(failures, Trouble("server_error", detail))
            else:
                raise limits.refusal(answer, self.token)

    def _own(self, url: str) -> str:
        asked, base = httpx2.URL(url), httpx2.URL(self.base)
        if (asked.scheme, asked.host, asked.port) != (base.scheme, base.host, base.port):
            message = f"{self.base} refers to another host, {asked.host}"
            raise Trouble("bad_answer", message)
        return url

    def _send(self, method: str, url: str, headers: dict[str, str], body: object) -> Answer:
        start = time.monotonic()
        self.requests += 1
        with self._http.stream(method, url, headers=headers, json=body) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise httpx2.DecodingError(f"more than {MAX_BYTES >> 20} MiB came back")
                if time.monotonic() - start > SLOW * self._settings.timeout:
                    raise httpx2.ReadTimeout("the answer takes too long")
            self.received += len(content)
            value = _parsed(bytes(content), response.status_code)
            following = response.links.get("next", {}).get("url", "")
            answer = Answer(
                response.status_code, response.headers, value,
                response.headers.get("location", "") if response.is_redirect else following,
            )  # fmt: skip
        if answer.status == 200 and answer.headers.get("x-ratelimit-remaining") == "0":
            self._free_at = time.monotonic() + limits.until_reset(answer, time.time())
        return answer

    def _failed(self, failures: int, trouble: Trouble) -> int:
        """Wait before another try; raise ``trouble`` when there were enough."""
        if failures + 1 >= MAX_TRIES:
            raise trouble
        time.sleep(FIRST_PAUSE * 2.0**failures)
        return failures + 1

    def _hold(self) -> None:
        if (seconds := self._free_at - time.monotonic()) > 0:
            self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
        if self._waited + seconds > self._settings.longest_wait:
            hint = "" if self.token else "; a token (collect.github.token) allows more requests"
            message = (
                f"GitHub's rate limit ends at {until}, later than collect.github.longest_wait "
                f"allows; run again then, what arrived is kept{hint}"
            )
            raise Trouble("rate_limited", message, everywhere=True)
        if seconds > 5:
            log.info("GitHub's rate limit: waiting until %s", until)
        time.sleep(seconds)
        self._waited += seconds
        self._free_at = 0.0


def _is_plausible(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _unusable(base: str, token: str, name: str) -> str:
    """Return why a token may not be sent, "" when it may."""
    if token and not _is_plausible(token):
        return f"{name} holds characters that no token has: set it to the token alone"
    if token and base.startswith("http:") and urlsplit(base).hostname not in _LOOPBACK:
        return f"the token in {name} is not sent over http: use https in collect.github.base_url"
    return ""


def _redirected(url: str, location: str) -> str:
    try:
        return str(httpx2.URL(url).join(location))
    except httpx2.InvalidURL as error:
        raise Trouble("bad_answer", f"it is redirected to no address ({error})") from error


def _parsed(content: bytes, status: int) -> Any:  # noqa: ANN401 - whatever came back
    if status == 304:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        if status != 200:
            return None
        message = "the answer is not JSON"
        raise httpx2.DecodingError(message) from error


def _unreachable(base: str, error: Exception) -> Trouble:
    said = f"{type(error).__name__}: {error}"[:200]
    if isinstance(error, httpx2.DecodingError):
        return Trouble("bad_answer", f"what {base} answers cannot be used ({said})")
    return Trouble("unreachable", f"{base} cannot be reached ({said})", everywhere=True)
