"""One request is one request, with an end, and the key is in its header and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import ssl
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import Any, ClassVar

import pytest

from pipeline.chat.endpoint import Answer, Endpoint
from pipeline.chat.faults import Fault
from pipeline.chat.replies import Reply, read
from pipeline.errors import ConfigError
from tests.chat.asking import QUESTION, closed_port, deaf_port, sent, settings
from tests.chat.test_faults import EXPECTED, TIMED_OUT, serving
from tests.endpoint.completions import key_of
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import Endpoint as Served
from tests.endpoint.talking import numbered

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("CANARY_KEY", KEY)
    yield "CANARY_KEY"


def test_an_answer_is_the_bytes_that_came(endpoint: Served) -> None:
    (came,) = sent(settings(endpoint.url), QUESTION)
    assert isinstance(came, Answer)
    assert json.loads(came.body)["choices"][0]["message"]["content"] == '{"score": 2}'
    assert isinstance(read(came.body), Reply)
    assert came.wait is None


def test_what_is_asked_arrives_as_it_was_asked(endpoint: Served) -> None:
    text = 'Größe "x"\n\u2028 \\u0041 你好 \U0001f600 ' + "x" * 20_000
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 5}
    (came,) = sent(settings(endpoint.url), body)
    assert isinstance(came, Answer)
    assert endpoint.ledger()[0]["key"] == key_of(body["messages"])


def test_a_limit_that_is_used_up_comes_with_the_answer(endpoint: Served) -> None:
    used = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}
    endpoint.script({"headers": used})
    (came,) = sent(settings(endpoint.url), QUESTION)
    assert isinstance(came, Answer)
    assert came.wait == 90


@pytest.mark.parametrize("name", ["drip", "hang", "hang_in_body", "promises_more"])
def test_the_deadline_is_one_for_the_whole_request(name: str, endpoint: Served) -> None:
    endpoint.script({"rules": [{"fault": name}]})
    start = time.monotonic()
    (came,) = sent(settings(endpoint.url, timeout=1.3), QUESTION)
    assert 1.2 < time.monotonic() - start < 2.0
    assert isinstance(came, Fault)
    assert came.reason == "timed_out"


def test_a_drip_that_is_quick_enough_is_an_answer(endpoint: Served) -> None:
    endpoint.script({"rules": [{"fault": "drip", "interval": 0.0005}]})
    (came,) = sent(settings(endpoint.url, timeout=20.0), QUESTION)
    assert isinstance(came, Answer)


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_ever_sent_twice(name: str, endpoint: Served) -> None:
    endpoint.script({"rules": [{"fault": name, "times": 1}]})
    patience = 1.0 if EXPECTED[name] == TIMED_OUT else 5.0
    sent(settings(endpoint.url, timeout=patience), QUESTION, rest=0.05)
    assert endpoint.summary()["asked"] == 1
    assert not endpoint.ledger()[0]["idempotency_key"]


def test_a_connection_that_was_closed_meanwhile_costs_nothing(endpoint: Served) -> None:
    endpoint.script({"rules": [{"fault": "close_after"}]})
    came = sent(settings(endpoint.url), *[numbered(n) for n in range(5)], rest=0.1)
    assert all(isinstance(one, Answer) for one in came)
    assert endpoint.summary()["asked"] == 5


def test_as_many_as_allowed_go_out_at_a_time(endpoint: Served) -> None:
    endpoint.script({"latency": 0.3})

    async def many() -> None:
        async with Endpoint("gpt", settings(endpoint.url, concurrency=40)) as one:
            await asyncio.gather(*(one.send(numbered(n)) for n in range(40)))

    start = time.monotonic()
    asyncio.run(many())
    assert endpoint.summary()["in_flight_most"] == 40
    assert time.monotonic() - start < 2


def test_connections_are_used_again(endpoint: Served) -> None:
    ports: set[Any] = set()

    async def several() -> None:
        async with Endpoint("gpt", settings(endpoint.url)) as one:
            for number in range(10):
                await one.send(numbered(number))
                connector = one._session.connector
                assert connector is not None
                for kept in connector._conns.values():
                    ports.update(held[0].transport.get_extra_info("sockname") for held in kept)

    asyncio.run(several())
    assert len(ports) == 1


def test_nothing_is_left_open(endpoint: Served) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for name in ("hang", "cut_body", "server_error", "drip"):
            endpoint.script({"rules": [{"fault": name}]})
            sent(settings(endpoint.url, timeout=0.3), QUESTION)
        gc.collect()
    assert [str(one.message) for one in said] == []


def test_a_key_that_an_answer_repeats_is_not_kept(endpoint: Served, key: str) -> None:
    text = f"Your key is {KEY}, is it not?"
    endpoint.script({"key": KEY, "rules": [{"fault": "scripted", "content": text}]})
    (came,) = sent(settings(endpoint.url, key=key), QUESTION)
    assert isinstance(came, Answer)
    assert KEY.encode() not in came.body
    assert "Your key is …, is it not?".encode() in came.body or b"Your key is \\u2026" in came.body


def test_a_key_goes_into_the_header(endpoint: Served, key: str) -> None:
    endpoint.script({"key": KEY})
    (came,) = sent(settings(endpoint.url, key=key), QUESTION)
    assert isinstance(came, Answer)


@pytest.mark.parametrize("value", [f"{KEY}\n", f" {KEY} ", f"{KEY}\r\n"])
def test_white_space_around_a_key_does_not_matter(
    endpoint: Served, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, value)
    endpoint.script({"key": KEY})
    (came,) = sent(settings(endpoint.url, key=key), QUESTION)
    assert isinstance(came, Answer)


def test_a_key_may_be_in_a_file_beside_the_run(
    endpoint: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"FILE_KEY='{KEY}'\n")
    monkeypatch.chdir(tmp_path)
    endpoint.script({"key": KEY})
    (came,) = sent(settings(endpoint.url, key="FILE_KEY"), QUESTION)
    assert isinstance(came, Answer)


def test_a_key_that_is_not_there_is_an_error_that_names_the_variable(endpoint: Served) -> None:
    with pytest.raises(ConfigError, match=r"chat\.gpt\.key: there is no NO_SUCH_KEY in the env"):
        sent(settings(endpoint.url, key="NO_SUCH_KEY"), QUESTION)


@pytest.mark.parametrize("value", [f"{KEY}\n{KEY}", f"{KEY}é", f"{KEY} {KEY}", f"{KEY}\x7f"])
def test_a_key_that_can_be_none_is_an_error_that_does_not_show_it(
    endpoint: Served, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match="holds characters that no key has") as caught:
        sent(settings(endpoint.url, key=key), QUESTION)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_an_endpoint_that_needs_no_key_gets_none_of_ours(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.script({"key": KEY})
    (came,) = sent(settings(endpoint.url, key=""), QUESTION)
    assert isinstance(came, Fault)
    assert came.reason == "wrong_key"


@pytest.mark.parametrize("name", [*FAULTS, "refused", "unreached", "no_host"])
def test_the_key_is_in_nothing_that_comes_back_or_is_logged(
    name: str, endpoint: Served, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.script({"rules": [{"fault": name}]} if name in FAULTS else {})
    urls = {"refused": f"http://127.0.0.1:{closed_port()}/v1", "no_host": "http://x.invalid/v1"}
    with deaf_port() as port:
        urls["unreached"] = f"http://127.0.0.1:{port}/v1"
        chosen = settings(urls.get(name, endpoint.url), key=key, timeout=0.4)
        (came,) = sent(chosen, QUESTION)
    assert KEY not in repr(came)
    if name == "echoed_key":
        assert came[-1] == "Authentication failed for key '…'"
    assert KEY not in caplog.text
    assert all(KEY not in repr(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://host:port/v1", "https://:x/"])
def test_what_is_no_url_is_an_error_before_anything_is_sent(url: str, key: str) -> None:
    with pytest.raises(ConfigError, match=r"chat\.gpt\.base_url: .* is no URL") as caught:
        sent(settings(url, key=key), QUESTION)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.usefixtures("key")
def test_azure_is_addressed_in_its_own_way() -> None:
    url = "https://team.openai.azure.com"
    version = "2025-04-01-preview"
    one = Endpoint("azure", settings(url, model="mini-eu", key="CANARY_KEY", api_version=version))
    path = "/openai/deployments/mini-eu/chat/completions"
    assert one._url == f"{url}{path}?api-version={version}"
    assert one._headers["api-key"] == KEY


def test_others_are_addressed_as_openai_is(key: str) -> None:
    for url in ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/"):
        one = Endpoint("gpt", settings(url, key=key))
        assert one._url == "http://127.0.0.1:8080/v1/chat/completions"
        assert one._headers["authorization"] == f"Bearer {KEY}"
        assert one._headers["content-type"] == "application/json"


def test_a_request_that_was_not_sent_is_not_logged_as_if(
    endpoint: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent(settings(endpoint.url))
    assert "HTTP Request" not in caplog.text
    assert endpoint.summary()["asked"] == 0


class Proxy(BaseRequestHandler):
    """Answers in the place of the host that is asked for, and remembers the request."""

    seen: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.seen.append(self.request.recv(65_536))
        self.request.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"choices": []}')


def test_a_proxy_of_the_system_is_used_and_not_for_this_machine(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Proxy) as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "inside.example")
        (came,) = sent(settings("http://model.example/v1"), QUESTION)
        assert isinstance(came, Answer)
        assert Proxy.seen[0].startswith(b"POST http://model.example/v1/chat/completions HTTP/1.1")
        Proxy.seen.clear()
        sent(settings("http://inside.example/v1"), QUESTION)
        (came,) = sent(settings(endpoint.url), QUESTION)
        assert isinstance(came, Answer)
        assert Proxy.seen == []


def test_a_proxy_that_is_not_there_means_that_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    (came,) = sent(settings("http://model.example/v1"), QUESTION)
    assert isinstance(came, Fault)
    assert (came.kind, came.reason) == ("refused", "cannot_connect")


def certificate(folder: Path) -> Path:
    """Write a certificate for this machine, signed by itself, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    made, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(made.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(hosts, critical=False).sign(made, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    file = folder / "certificate.pem"
    file.write_bytes(signed.public_bytes(pem) + made.private_bytes(pem, form, plain))
    return file


def test_a_certificate_must_be_one_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    class Secret(Proxy):
        def handle(self) -> None:
            with suppress(ssl.SSLError), context.wrap_socket(self.request, server_side=True) as own:
                self.request = own
                super().handle()

    with serving(Secret) as plain:
        url = plain.replace("http://", "https://")
        (came,) = sent(settings(url), QUESTION)
        assert isinstance(came, Fault)
        assert (came.kind, came.reason) == ("refused", "cannot_connect")
        assert "certificate" in came.detail
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        (came,) = sent(settings(url), QUESTION)
        assert isinstance(came, Answer)
