"""The protocol and the ledger, over real sockets to a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint.completions import key_of, pair_key
from tests.endpoint.fixtures import CHECKOUT, Endpoint, start
from tests.endpoint.talking import (
    KEY,
    answers,
    ask,
    numbered,
    question,
    request,
    status,
    statuses,
    talk,
    until_under_way,
)


@pytest.fixture
def plug(endpoint: Endpoint) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as opened:
        yield opened


def test_pipelined_requests_are_answered_in_their_order(
    endpoint: Endpoint, plug: socket.socket
) -> None:
    endpoint.script({"latency": [0.0, 0.02]})
    bodies = [question(f"text {n}", f"text {n} and {' '.join('x' * n)}") for n in range(20)]
    plug.sendall(b"".join(map(request, bodies)))
    found = answers(plug, 20)
    assert [one["choices"] for one in found] == [ask(endpoint.port, b)["choices"] for b in bodies]


def test_a_request_may_arrive_byte_by_byte(endpoint: Endpoint, plug: socket.socket) -> None:
    for byte in request(question()):
        plug.send(bytes([byte]))
    assert answers(plug, 1)[0]["choices"] == ask(endpoint.port, question())["choices"]


def test_a_body_may_come_in_chunks(endpoint: Endpoint) -> None:
    raw = json.dumps(question()).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (raw[:9], raw[9:]))
    head = request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    assert talk(endpoint.port, head + chunks + b"0\r\n\r\n").status == 200


@pytest.mark.parametrize("said", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                  b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"])  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_closed(
    said: bytes, endpoint: Endpoint
) -> None:
    heard = talk(endpoint.port, said, 10)
    assert (heard.status, heard.end) == (400, "closed")


@pytest.mark.parametrize("body", [b"{", [], {"model": "m"}, question(stream=True),
                                  question(max_tokens=0), question(top_logprobs=21)])  # fmt: skip
def test_a_body_that_is_no_question_is_refused_and_not_billed(
    body: Any, endpoint: Endpoint
) -> None:
    assert status(endpoint.port, body) == 400
    assert [entry["billed"] for entry in endpoint.ledger()] == [False]


def test_a_wrong_address_is_not_found(endpoint: Endpoint) -> None:
    assert talk(endpoint.port, request(question(), "/chat/completions")).status == 404
    assert status(endpoint.port, question(), "/v1/chat/completion") == 404


def test_an_answer_takes_its_latency_and_other_requests_do_not_wait_for_it() -> None:
    with start(latency=0.2) as running, ExitStack() as stack:
        began = time.monotonic()
        plugs = [
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            for _ in range(10)
        ]
        for plug in plugs:
            plug.sendall(request(question()))
        for plug in plugs:
            answers(plug, 1)
        assert 0.2 <= time.monotonic() - began < 1.5
        held = [entry["sent"] - entry["arrived"] for entry in running.ledger()]
        assert min(held) >= 0.199
        assert running.summary()["in_flight_most"] == 10


def test_a_key_is_checked_and_never_kept(endpoint: Endpoint) -> None:
    endpoint.script({"key": KEY})
    other = request(question(), headers="idempotency-key: one-of-a-kind\r\n").replace(
        KEY.encode(), b"sk-of-somebody"
    )
    assert talk(endpoint.port, other).status == 401
    assert status(endpoint.port, question()) == 200
    first, second = endpoint.ledger()
    assert (first["authorization"], first["idempotency_key"], first["billed"]) == (
        True,
        True,
        False,
    )
    assert (second["authorization"], second["idempotency_key"]) == (True, False)
    written = endpoint.file.read_text()
    assert len(written.splitlines()) == 2
    assert not any(word in written for word in (KEY, "somebody", "one-of-a-kind"))


def test_models_that_are_not_there_are_not_found(endpoint: Endpoint) -> None:
    endpoint.script({"models": ["small", "large"]})
    assert status(endpoint.port, question()) == 404
    assert status(endpoint.port, question() | {"model": "large"}) == 200
    said = b"GET /v1/models HTTP/1.1\r\n\r\n"
    names = [one["id"] for one in json.loads(talk(endpoint.port, said).body)["data"]]
    assert names == ["small", "large"]


def test_the_ledger_tells_the_same_in_memory_and_in_its_file(endpoint: Endpoint) -> None:
    endpoint.script({"rates": {"server_error": 0.3}})
    for number in range(30):
        status(endpoint.port, numbered(number % 20))
    entries = endpoint.ledger("")
    written = [json.loads(row) for row in endpoint.file.read_text().splitlines()]
    later = {"sent": None, "gone": False}
    assert [entry | later for entry in entries] == written
    assert [entry["serial"] for entry in entries] == list(range(1, 31))
    assert entries[3]["key"] == key_of(numbered(3)["messages"])
    assert entries[3]["pairs"] == [pair_key("text 3", "another text 3")]
    counts = endpoint.summary()
    billed = [entry for entry in entries if entry["billed"]]
    assert counts["billed"] == len(billed) == counts["answered"]["good"]
    assert counts["keys"] == 20
    assert counts["billed_keys"] == len({entry["key"] for entry in billed})
    assert counts["prompt_tokens"] == sum(entry["prompt_tokens"] for entry in billed) > 0


def test_a_reset_leaves_nothing(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited_long", "times": 1}], "grace": 0})
    assert statuses(endpoint.port, question(), question()) == [429, 200]
    endpoint.reset()
    assert endpoint.ledger("") == []
    assert endpoint.file.read_text() == ""
    assert statuses(endpoint.port, question(), question()) == [429, 200]  # the script starts afresh
    assert endpoint.summary()["early_sends"] == 1


def test_a_client_that_vanishes_is_billed(endpoint: Endpoint) -> None:
    endpoint.script({"latency": 0.5})
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as plug:
        plug.sendall(request(question()))
        until_under_way(endpoint, 1)
    until_under_way(endpoint, 0)
    (entry,) = endpoint.ledger()
    assert (entry["billed"], entry["gone"], entry["sent"]) == (True, True, None)


def test_a_request_whose_body_never_came_whole_is_not_in_the_ledger(endpoint: Endpoint) -> None:
    talk(endpoint.port, request(question())[:-1], silent=True)
    assert endpoint.ledger("") == []


def test_an_unread_request_is_in_the_ledger_without_a_key(endpoint: Endpoint) -> None:
    endpoint.script({"rules": [{"fault": "close_unread", "times": 1}]})
    head = request(question()).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert talk(endpoint.port, head, 10, silent=True).end == "closed"  # it waits for no body
    assert status(endpoint.port, question()) == 200
    assert [entry["key"] == "" for entry in endpoint.ledger()] == [True, False]


def test_it_answers_thousands_of_requests_a_second(endpoint: Endpoint) -> None:
    """By its own processor time, which a busy machine does not change much."""
    count = 2_000
    sockets = [socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) for _ in range(8)]
    with ExitStack() as stack:
        for plug in map(stack.enter_context, sockets):
            said = request(numbered(1))
            for _ in range(count // 8 // 25):
                plug.sendall(said * 25)
                answers(plug, 25)
    counts = endpoint.summary()
    assert counts["billed"] == count
    assert count / counts["cpu_seconds"] > 2_000


def test_the_process_ends_with_its_block() -> None:
    with start() as running:
        assert running.process.poll() is None
        assert ask(running.port, question())["object"] == "chat.completion"
    assert running.process.poll() is not None


def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom tests.endpoint.fixtures import start\n"
        "with start() as e:\n    sys.stdout.write(f'{e.process.pid} {e.port}\\n')\n"
        "    sys.stdout.flush()\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        port = int(parent.stdout.readline().split()[1])
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionError:
            return
        time.sleep(0.1)
    pytest.fail("the endpoint is still there")
