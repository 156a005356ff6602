"""What every fault means for money and for trying again, over a real connection."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chat.endpoint import Answer
from pipeline.chat.faults import Fault, Kind, from_exception, from_status
from pipeline.chat.replies import REASONS, Unusable, read
from tests.chat.asking import QUESTION, closed_port, deaf_port, sent, settings
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import Endpoint

# By fault of the endpoint: the kind and the reason; "" where an answer comes that can be used.
LOST, TIMED_OUT = ("ambiguous", "connection_lost"), ("ambiguous", "timed_out")
BROKEN, LIMITED = ("ambiguous", "answer_broken"), ("throttled", "rate_limited")
USABLE = ("answer", "")
EXPECTED: dict[str, tuple[str, str]] = {
    **{name: LIMITED for name in FAULTS if name.startswith("rate_limited")},
    "no_quota": ("fatal", "no_credit"),
    "bad_request": ("final", "bad_request"),
    "context_too_long": ("final", "too_long"),
    "no_schema_support": ("final", "bad_request"),
    "no_logprobs_support": ("final", "bad_request"),
    "wrong_key": ("fatal", "wrong_key"),
    "echoed_key": ("fatal", "wrong_key"),
    "forbidden": ("fatal", "forbidden"),
    "model_not_found": ("fatal", "no_such_model"),
    "server_error": ("refused", "server_error"),
    "bad_gateway": ("ambiguous", "bad_gateway"),
    "unavailable": ("refused", "unavailable"),
    "unavailable_retry": ("throttled", "unavailable"),
    "gateway_timeout": ("ambiguous", "gateway_timeout"),
    "close_unread": LOST, "reset": LOST, "close_silent": LOST, "cut_head": LOST, "not_http": LOST,
    "promises_less": LOST,
    "hang": TIMED_OUT, "hang_in_body": TIMED_OUT, "promises_more": TIMED_OUT, "drip": TIMED_OUT,
    "cut_body": BROKEN, "reset_in_body": BROKEN, "cut_chunks": BROKEN, "gzip_garbage": BROKEN,
    "html_200": ("answer", "html"),
    "error_200": ("answer", "error_body"),
    "invalid_json": ("answer", "not_json"),
    "empty_body": ("answer", "empty_body"),
    "wrong_shape": ("answer", "no_choices"),
    "empty_choices": ("answer", "no_choices"),
    "null_content": ("answer", "empty"),
    "empty_content": ("answer", "empty"),
    "refusal": ("answer", "refused"),
    "content_filter": ("answer", "content_filter"),
    "cut_off": ("answer", "cut_off"),
    "reasoning_only": ("answer", "cut_off"),
    "scripted": ("answer", "empty"),
    **dict.fromkeys(
        ("stale_answer", "no_usage", "no_logprobs", "empty_logprobs", "nan_logprobs",
         "out_of_scale", "not_a_number", "no_schema", "slow", "extra_response", "close_after"),
        USABLE,
    ),
}  # fmt: skip


def outcome(came: Answer | Fault) -> tuple[str, str]:
    if isinstance(came, Fault):
        return came.kind, came.reason
    reply = read(came.body)
    return "answer", reply.reason if isinstance(reply, Unusable) else ""


def test_every_fault_of_the_endpoint_is_expected_to_be_something() -> None:
    assert EXPECTED.keys() == FAULTS.keys()
    assert {kind for kind, _ in EXPECTED.values()} == {*get_args(Kind), "answer"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_what_it_is(name: str, endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": name}], "latency": 0.01})
    patience = 1.0 if EXPECTED[name] == TIMED_OUT else 5.0
    start = time.monotonic()
    (came,) = sent(settings(endpoint.url, timeout=patience), QUESTION)
    assert outcome(came) == EXPECTED[name]
    assert time.monotonic() - start < patience + 1
    assert endpoint.summary()["asked"] == 1
    if FAULTS[name].billed:  # what was paid for is never taken for free to be asked again
        assert outcome(came)[0] in ("ambiguous", "answer")
    else:
        assert outcome(came)[0] != "answer" or outcome(came)[1] in REASONS


WAITS = {"rate_limited": 1, "rate_limited_float": 0.5, "rate_limited_ms": 0.5,
         "rate_limited_long": 3600, "rate_limited_reset": 1, "unavailable_retry": 1,
         "rate_limited_words": None, "rate_limited_bare": None, "unavailable": None}  # fmt: skip


@pytest.mark.parametrize("name", WAITS)
def test_the_wait_that_is_asked_for_comes_with_the_fault(name: str, endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": name}]})
    (came,) = sent(settings(endpoint.url), QUESTION)
    assert isinstance(came, Fault)
    assert came.wait == WAITS[name]


def test_the_wait_until_a_date_is_at_least_as_long_as_was_meant(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited_date", "retry_after": 3}]})
    (came,) = sent(settings(endpoint.url), QUESTION)
    assert isinstance(came, Fault)
    assert came.wait is not None
    assert 3 <= came.wait <= 5


def test_where_nobody_listens_the_work_was_not_done() -> None:
    (came,) = sent(settings(f"http://127.0.0.1:{closed_port()}/v1"), QUESTION)
    assert outcome(came) == ("refused", "cannot_connect")


def test_a_connection_that_is_never_made_is_told_from_an_answer_that_never_comes() -> None:
    with deaf_port() as port:
        start = time.monotonic()
        (came,) = sent(settings(f"http://127.0.0.1:{port}/v1", timeout=2.0), QUESTION)
    assert outcome(came) == ("refused", "cannot_connect")
    assert time.monotonic() - start < 1.9


def test_a_host_that_does_not_exist_is_not_reached() -> None:
    (came,) = sent(settings("http://no-such-host.invalid/v1", timeout=30.0), QUESTION)
    assert outcome(came) == ("refused", "cannot_connect")


def test_https_to_a_plain_port_is_not_reached(endpoint: Endpoint) -> None:
    url = endpoint.url.replace("http://", "https://")
    (came,) = sent(settings(url, timeout=1.0), QUESTION)
    assert outcome(came) == ("refused", "cannot_connect")
    assert endpoint.summary()["asked"] == 0


@pytest.mark.parametrize(
    "url", ["http:///v1", "http://127.0.0.1:99999/v1", f"http://{'a' * 70}.x/"]
)
def test_what_is_no_url_is_fatal(url: str) -> None:
    (came,) = sent(settings(url), QUESTION)
    assert outcome(came) == ("fatal", "wrong_url")


class Eager(BaseRequestHandler):
    """Answers with what was asked, and once more when nobody asks any longer."""

    def handle(self) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                part = self.request.recv(65_536)
                if not part:
                    return
                data += part
            head, _, body = data.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            size = int(fields[b"content-length"])
            while len(body) < size:
                body += self.request.recv(65_536)
            data = body[size:]
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (size, body[:size])
            self.request.sendall(answer)
            time.sleep(0.05)
            self.request.sendall(answer)


class Server(ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True


@contextmanager
def serving(handler: type[BaseRequestHandler]) -> Iterator[str]:
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def test_an_answer_that_comes_a_second_time_is_never_taken_for_that_to_the_next_question() -> None:
    bodies: list[dict[str, Any]] = [{"number": number} for number in range(6)]
    with serving(Eager) as url:
        came = sent(settings(url), *bodies, rest=0.2)
    answered = [number for number, one in enumerate(came) if isinstance(one, Answer)]
    assert len(answered) >= 3
    for number in answered:
        one = came[number]
        assert isinstance(one, Answer)
        assert json.loads(one.body) == bodies[number]
    others = {outcome(one) for number, one in enumerate(came) if number not in answered}
    assert others == {("refused", "connection_lost")}  # known not to have been sent


class Flood(BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                self.request.sendall(b" " * 65_536)
        except OSError:
            return


def test_an_answer_without_end_is_given_up_before_it_fills_the_memory() -> None:
    with serving(Flood) as url:
        start = time.monotonic()
        (came,) = sent(settings(url, timeout=60.0), QUESTION)
    assert outcome(came) == BROKEN
    assert isinstance(came, Fault)
    assert "more than 8,388,608 bytes" in came.detail
    assert time.monotonic() - start < 20


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
PIECES = (
    HEAD, b'{"choices": []}', b"HTTP/1.1 ", b"200 OK", b"\r\n", b"\r\n\r\n", b"\x00", b"\xff" * 9,
    b"transfer-encoding: chunked\r\n", b"content-length: -1\r\n", b"7\r\n", b": ",
    b"content-encoding: br\r\n", b"a" * 9_000, b"HTTP/2 999 ?\r\n",
    b"HTTP/1.1 429 \r\nretry-after: \xff\r\n\r\n",
)  # fmt: skip


def odd(draw: random.Random) -> bytes:
    """Return what might be an HTTP response, and mostly is none."""
    if draw.random() < 0.5:
        return b"".join(draw.choices(PIECES, k=draw.randint(1, 6)))
    whole = bytearray(HEAD + b'{"choices": []}')
    for _ in range(draw.randint(1, 5)):
        whole[draw.randrange(len(whole))] = draw.randrange(256)
    return bytes(whole[: draw.randint(1, len(whole) + 40)])


class Odd(BaseRequestHandler):
    draw = random.Random(11)

    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(odd(self.draw))


def test_whatever_bytes_come_back_are_an_answer_or_perhaps_a_bill() -> None:
    bodies = [{"number": number} for number in range(300)]
    with serving(Odd) as url:
        came = sent(settings(url, timeout=5.0), *bodies)
    kinds = Counter(outcome(one)[0] for one in came)
    assert kinds.keys() <= {"answer", "ambiguous", "throttled", "final", "refused", "fatal"}
    assert kinds["ambiguous"] > 100
    for one in came:  # free to be asked again is only what a status line says so of
        if isinstance(one, Fault) and one.kind not in ("ambiguous",):
            assert one.reason not in ("cannot_connect", "wrong_url", "connection_lost")


class Moved(BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(
            b"HTTP/1.1 308 Permanent Redirect\r\nlocation: https://elsewhere.example/v1\r\n"
            b"content-length: 0\r\n\r\n"
        )


def test_a_redirect_is_told_and_not_followed() -> None:
    with serving(Moved) as url:
        (came,) = sent(settings(url), QUESTION)
    assert came == Fault("fatal", "moved", None, "https://elsewhere.example/v1")


STATUSES = {
    400: ("final", "bad_request"), 401: ("fatal", "wrong_key"), 402: ("fatal", "no_credit"),
    403: ("fatal", "forbidden"), 404: ("fatal", "not_found"), 408: ("ambiguous", "gateway_timeout"),
    409: ("refused", "conflict"), 413: ("final", "too_long"), 418: ("final", "http_418"),
    422: ("final", "bad_request"), 425: ("refused", "too_early"), 429: LIMITED,
    500: ("refused", "server_error"), 502: ("ambiguous", "bad_gateway"),
    503: ("refused", "unavailable"), 504: ("ambiguous", "gateway_timeout"),
    507: ("refused", "server_error"), 520: ("ambiguous", "gateway_error"),
    524: ("ambiguous", "gateway_error"), 529: ("throttled", "overloaded"), 307: ("fatal", "moved"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_a_status_says_what_became_of_the_work(status: int, expected: tuple[str, str]) -> None:
    fault = from_status(status, {}, "")
    assert (fault.kind, fault.reason) == expected
    again = from_status(status, {"retry-after": "2"}, "")
    assert again.wait == 2
    assert again.kind == ("throttled" if expected[0] == "refused" else expected[0])


CODES = {
    (429, "insufficient_quota"): ("fatal", "no_credit"),
    (400, "context_length_exceeded"): ("final", "too_long"),
    (400, "content_filter"): ("final", "content_filter"),
    (404, "model_not_found"): ("fatal", "no_such_model"),
    (400, "invalid_api_key"): ("fatal", "wrong_key"),
    (500, "no_code_that_is_known"): ("refused", "server_error"),
}


@pytest.mark.parametrize(("given_", "expected"), CODES.items())
def test_a_code_says_more_than_the_status(
    given_: tuple[int, str], expected: tuple[str, str]
) -> None:
    status, code = given_
    for field in ("code", "type"):
        body = json.dumps({"error": {field: code, "message": "a  reason\nfor it"}})
        fault = from_status(status, {}, body)
        assert (fault.kind, fault.reason, fault.detail) == (*expected, "a reason for it")


@given(st.integers(100, 999), st.text(max_size=60) | st.just("[" * 50_000))
def test_any_status_with_any_body_is_a_fault(status: int, body: str) -> None:
    fault = from_status(status, {}, body)
    assert fault.kind in get_args(Kind)
    assert fault.reason
    assert len(fault.detail) <= 300


parts = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "message"]), inner)
    ),
    max_leaves=8,
)


@given(parts)
def test_any_json_in_an_error_is_read_or_left(body: Any) -> None:
    assert from_status(500, {}, json.dumps(body)).kind in get_args(Kind)


def test_an_exception_that_nobody_foresaw_may_have_cost_something() -> None:
    assert from_exception(RuntimeError("odd")) == Fault("ambiguous", "unexpected", None, "odd")
    assert from_exception(ConnectionResetError()).detail == "ConnectionResetError"
