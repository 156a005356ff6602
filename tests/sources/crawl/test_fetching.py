from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.sections import WebSettings
from pipeline.sources.crawl.fetching import Client, FetchError, Response, Wanted
from tests.site.fixtures import RunningSite, self_signed, start

SIZE = 1_000_000


class Resolver(AbstractResolver):
    """Gives another answer each time it is asked; the last one for ever."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = answers
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in answer
        ]

    async def close(self) -> None:
        pass


def fetch(
    url: str, resolver: AbstractResolver | None = None, size: int = SIZE, **settings: Any
) -> Response:
    async def get(client: Client) -> Response:
        return await client.get(Wanted(url, {}, size))

    return use(get, resolver, **settings)


def use(
    work: Callable[[Client], Awaitable[Response]], resolver: AbstractResolver | None = None,
    **settings: Any,
) -> Response:  # fmt: skip
    async def run() -> Response:
        values = {"timeout": 5, "allow_loopback": True, "contact": "me@example.org", **settings}
        async with Client(WebSettings(**values), resolver) as client:
            return await work(client)

    return asyncio.run(run())


def reason(url: str, *arguments: Any, **settings: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(url, *arguments, **settings)
    return caught.value.reason


def peak() -> int:
    """Return the largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def test_a_name_that_resolves_to_another_address_the_second_time_is_refused_then(
    site: RunningSite,
) -> None:
    resolver = Resolver(("127.0.0.1",), ("169.254.169.254",))
    url = f"http://rebinding.test:{site.port}/"
    assert fetch(url, resolver).status == 200
    assert reason(url, resolver) == "private_address"
    assert resolver.asked == 2


def test_what_is_dialled_is_what_was_checked_without_a_second_look(site: RunningSite) -> None:
    resolver = Resolver(("127.0.0.1",), ("10.0.0.1",))
    assert fetch(f"http://rebinding.test:{site.port}/", resolver).status == 200
    assert resolver.asked == 1


def test_one_private_address_among_those_of_a_name_refuses_the_name(site: RunningSite) -> None:
    resolver = Resolver(("127.0.0.1", "192.168.0.1"))
    assert reason(f"http://mixed.test:{site.port}/", resolver) == "private_address"
    assert site.asked() == []


def test_a_redirect_is_not_followed(site: RunningSite) -> None:
    assert fetch(f"{site.url}/to/metadata").headers["Location"].startswith("http://169.254.169.254")
    assert site.asked() == ["/to/metadata"]


def test_a_bomb_is_given_up_at_the_limit_and_takes_no_memory(site: RunningSite) -> None:
    before = peak()
    assert reason(f"{site.url}/bomb") == "too_large"  # 200 MB in 200 kB
    assert peak() - before < 64 * 2**20


def test_a_body_larger_than_the_limit_is_not_read(site: RunningSite) -> None:
    assert reason(f"{site.url}/huge") == "too_large"


def test_only_the_beginning_is_taken_where_that_is_enough(site: RunningSite) -> None:
    async def get(client: Client) -> Response:
        return await client.get(Wanted(f"{site.url}/huge", {}, 100, cut=True))

    assert len(use(get).body) == 100


def test_a_page_that_drips_ends_at_the_limit_of_time(site: RunningSite) -> None:
    begin = time.monotonic()
    assert reason(f"{site.url}/drip", timeout=0.5) == "timeout"
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/broken", "broken"), ("/brotli", "encoding"), ("/cut", "connection")],
)
def test_a_body_that_cannot_be_had_whole_is_an_error(
    site: RunningSite, path: str, expected: str
) -> None:
    assert reason(site.url + path) == expected


def test_a_packed_page_is_unpacked(site: RunningSite) -> None:
    response = fetch(f"{site.url}/packed")
    assert b"<h1>Packed</h1>" in response.body
    assert response.received < len(response.body)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with start(certificate=self_signed(tmp_path / "site.pem")) as site:
        assert reason(site.url.replace("http:", "https:")) == "tls"


def test_a_port_where_nobody_listens_is_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert reason(f"http://127.0.0.1:{unused.getsockname()[1]}/") == "connection"


def test_a_name_that_does_not_exist_is_a_reason() -> None:
    class Unknown(Resolver):
        async def resolve(self, *_: Any) -> list[ResolveResult]:
            raise OSError("Name or service not known")

    assert reason("http://nowhere.test/", Unknown()) == "dns"


def test_proxies_of_the_environment_are_ignored(
    site: RunningSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetch(site.url).status == 200


def test_who_asks_and_how_to_reach_them_is_sent(site: RunningSite) -> None:
    fetch(site.url)
    assert site.ledger()[0]["user-agent"] == "angle-adapt/1.0 (+me@example.org)"


def test_no_cookie_is_sent_back(site: RunningSite) -> None:
    async def twice(client: Client) -> Response:
        await client.get(Wanted(f"{site.url}/cookie", {}, SIZE))
        return await client.get(Wanted(f"{site.url}/cookie", {}, SIZE))

    assert b"no cookie" in use(twice).body
