from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sections import WebSettings
from pipeline.sources.crawl.addresses import refusal
from pipeline.sources.crawl.fetching import Client, FetchError, Wanted
from tests.site.fixtures import RunningSite

# Hosts as an attacker writes them, and the address each of them means.
HOSTS = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "127.1": "loopback, short",
    "0x7f.0.0.1": "loopback, hexadecimal",
    "0x7f000001": "loopback, one hexadecimal number",
    "0177.0.0.1": "loopback, octal",
    "017700000001": "loopback, one octal number",
    "2130706433": "loopback, one number",
    "%31%32%37.0.0.1": "loopback, escaped",
    "\uff11\uff12\uff17.0.0.1": "loopback, full-width digits",
    "localhost": "loopback by name",
    "localhost.": "loopback by name, rooted",
    "[::1]": "loopback",
    "[0:0:0:0:0:0:0:1]": "loopback, long",
    "[::ffff:127.0.0.1]": "mapped loopback",
    "[::ffff:7f00:1]": "mapped loopback, hexadecimal",
    "[::ffff:8.8.8.8]": "mapped public address",
    "[::127.0.0.1]": "IPv4-compatible loopback",
    "[::]": "unspecified",
    "0.0.0.0": "unspecified",  # noqa: S104 - a host in a URL
    "0.1.2.3": "this network",
    "0": "unspecified, one number",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "carrier's NAT",
    "100.100.100.200": "metadata of a cloud inside the carrier's NAT",
    "169.254.169.254": "metadata of most clouds",
    "[::ffff:169.254.169.254]": "mapped metadata",
    "[fd00:ec2::254]": "metadata of a cloud by IPv6",
    "168.63.129.16": "metadata of a cloud at a public address",
    "192.0.0.192": "metadata of a cloud among protocol addresses",
    "192.0.0.8": "protocol address",
    "192.0.2.1": "documentation",
    "198.51.100.7": "documentation",
    "203.0.113.9": "documentation",
    "192.88.99.1": "6to4 relay",
    "198.18.0.1": "benchmarking",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "[64:ff9b::7f00:1]": "NAT64 of loopback",
    "[64:ff9b::808:808]": "NAT64 of a public address",
    "[64:ff9b:1::a00:1]": "local NAT64",
    "[2002:7f00:1::]": "6to4 of loopback",
    "[2002:a9fe:a9fe::1]": "6to4 of metadata",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]": "Teredo",
    "[2001:db8::1]": "documentation",
    "[3fff::1]": "documentation",
    "[100::1]": "discard",
    "[5f00::1]": "segment routing",
    "[fc00::1]": "unique local",
    "[fdff::1]": "unique local",
    "[fe80::1]": "link-local",
    "[fe80::1%25eth0]": "link-local with a zone",
    "[fec0::1]": "site-local",
    "[ff02::1]": "multicast",
    "[ff0e::1]": "global multicast",
}
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.255.255",
    "172.32.0.0", "169.253.255.255", "192.0.1.0", "198.17.255.255", "223.255.255.255",
    "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1", "2003::1",
)  # fmt: skip


_CONNECTED: list[object] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        _CONNECTED.append(arguments[1])


@pytest.fixture(scope="module")
def _hook() -> None:
    sys.addaudithook(_hear)  # stays for good


@pytest.fixture
def dialled(_hook: None) -> list[object]:
    """Every address that this process connects to."""
    _CONNECTED.clear()
    return _CONNECTED


def outcome(url: str, *, allow_loopback: bool = False) -> str:
    async def get() -> str:
        settings = WebSettings(timeout=5, allow_loopback=allow_loopback)
        async with Client(settings) as client:
            try:
                await client.get(Wanted(url, {}, 1_000))
            except FetchError as error:
                return error.reason
        return "answered"

    return asyncio.run(get())


@pytest.mark.parametrize("host", HOSTS, ids=list(HOSTS.values()))
def test_what_is_not_public_is_never_dialled_however_it_is_written(
    host: str, dialled: list[object]
) -> None:
    # "bad_url" and "dns": no address at all to who would dial it.
    assert outcome(f"http://{host}/") in {"private_address", "bad_url", "dns"}
    assert dialled == []


def test_a_dial_is_seen_by_these_tests(dialled: list[object], site: RunningSite) -> None:
    dialled.clear()
    assert outcome(site.url, allow_loopback=True) == "answered"
    assert dialled == [("127.0.0.1", site.port)]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_beside_the_refused_blocks_are_let_through(address: str) -> None:
    assert refusal(address) == ""


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "01.2.3.4", "fe80::1%1", "::1%lo"])
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    assert refusal(address)


def test_the_flag_for_tests_opens_loopback_and_nothing_else() -> None:
    opened = {a for a in ("127.0.0.1", "127.9.9.9", "::1") if not refusal(a, allow_loopback=True)}
    assert opened == {"127.0.0.1", "127.9.9.9", "::1"}
    for address in (
        "::ffff:127.0.0.1",
        "0.1.2.3",
        "10.0.0.1",
        "169.254.169.254",
        "64:ff9b::7f00:1",
    ):
        assert refusal(address, allow_loopback=True)


@given(st.ip_addresses())
def test_nothing_is_let_through_that_python_calls_private(
    address: IPv4Address | IPv6Address,
) -> None:
    if not refusal(str(address)):
        assert address.is_global
        assert not address.is_multicast
