"""The routes over real HTTP: bad bodies, limits, clients that go away, models not there yet."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.encoder.transformer import TransformerEncoder
from pipeline.serving.engine import Engine
from pipeline.serving.limits import Limits
from tests.serving.conftest import KEY, Blocked, Running, ask, metric, running, until

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = {
    "model": st.just("tiny-model") | VALUES, "input": VALUES | st.lists(st.text(max_size=9)),
    "encoding_format": st.sampled_from(["float", "base64"]) | VALUES,
    "dimensions": st.integers(-2, 40) | VALUES, "user": VALUES, "more": VALUES,
}  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"model": FIELDS["model"], "input": FIELDS["input"]},
    optional={name: FIELDS[name] for name in ("encoding_format", "dimensions", "user", "more")},
)


def embed(server: Running, body: Any, key: str = "") -> Any:
    return ask(server.port, "POST", "/v1/embeddings", body, key)


def asked(*texts: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny-model", "input": list(texts)} | more


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=(BODIES | VALUES).map(json.dumps).map(str.encode) | st.binary(max_size=40))
def test_no_body_makes_it_fail(served: Running, body: bytes) -> None:
    reply = embed(served, body)
    assert reply.status in {200, 400, 404, 413}, reply
    if reply.status == 200:
        assert all(np.isfinite(one["embedding"]).all() for one in reply.json["data"]
                   if isinstance(one["embedding"], list))  # fmt: skip
    else:
        error = reply.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]


@pytest.mark.parametrize(
    ("body", "status", "param", "told"),
    [
        ({"model": "tiny-model"}, 400, "input", "Field required"),
        ({"input": "a"}, 400, "model", "Field required"),
        (asked(), 400, "input", "at least one text"),
        (asked("a", encoding_format="hex"), 400, "encoding_format", "'float' or 'base64'"),
        (asked("a", dimensions=0), 400, "dimensions", "greater than or equal to 1"),
        (asked("a", dimensions=True), 400, "dimensions", "valid integer"),
        (asked("a", input_type="query"), 400, "input_type", "no such field"),
        ({"model": "tiny-model", "input": ["a", None]}, 400, "input[1]", "give a text"),
        (asked(*"abcdefghi"), 413, "input", "9 texts; a request may hold 8"),
        (asked("a", "b" * 201), 413, "input[1]", "201 characters; a text may have 200"),
        (b'{"model": "tiny-model", "input": "\\ud800"}', 400, None, "Invalid JSON"),
        (b'{"model": "tiny-model", "input": "\xff"}', 400, None, "unicode"),
        (b"", 400, None, "EOF"),
        (b"[" * 3000, 400, None, "recursion"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(
    served: Running, body: Any, status: int, param: str | None, told: str
) -> None:
    reply = embed(served, body)
    assert (reply.status, reply.json["error"]["param"]) == (status, param)
    assert told in reply.json["error"]["message"]


@pytest.mark.parametrize("size", [5_000, 3_000_000])
def test_a_body_that_is_too_large_is_refused_whatever_it_holds(served: Running, size: int) -> None:
    reply = embed(served, b" " * size)
    assert reply.status == 413
    assert reply.json["error"]["code"] == "body_too_large"


def test_a_body_without_a_length_is_measured_as_it_comes(served: Running) -> None:
    with closing(socket.create_connection(("127.0.0.1", served.port))) as line:
        line.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(5):
            line.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
        line.sendall(b"0\r\n\r\n")
        assert b" 413 " in line.recv(100)


def test_a_body_that_does_not_come_is_not_waited_for(served: Running) -> None:
    with closing(socket.create_connection(("127.0.0.1", served.port))) as line:
        line.settimeout(20)
        line.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{")
        assert b" 408 " in line.recv(100)


def test_a_client_that_asks_first_need_not_send_what_is_too_large(served: Running) -> None:
    with closing(socket.create_connection(("127.0.0.1", served.port))) as line:
        line.settimeout(20)
        line.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 5000\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_dies_amid_its_body_is_nobodys_trouble(served: Running) -> None:
    name = 'angle_adapt_requests_total{status="499"}'
    before = metric(served.port, name)
    for _ in range(20):
        with closing(socket.create_connection(("127.0.0.1", served.port))) as line:
            line.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{")
    until(lambda: metric(served.port, name) == before + 20)
    assert embed(served, asked("a")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/embeddings", 405), ("POST", "/v1/chat/completions", 404)],
)
def test_other_addresses_are_refused_in_the_same_shape(
    served: Running, method: str, path: str, status: int
) -> None:
    reply = ask(served.port, method, path)
    assert reply.status == status
    assert path in reply.json["error"]["message"]


def test_before_the_model_is_loaded_it_is_alive_and_not_ready(encoder: TransformerEncoder) -> None:
    limits = Limits()
    with running(limits, KEY) as server:
        assert ask(server.port, "GET", "/health/live").status == 200
        for reply in (
            ask(server.port, "GET", "/health"), ask(server.port, "GET", "/health/ready"),
            ask(server.port, "GET", "/v1/models", key=KEY), embed(server, asked("a"), KEY),
        ):  # fmt: skip
            assert reply.status == 503
            assert reply.json["error"]["code"] == "model_not_ready"
            assert int(reply.headers["retry-after"]) >= 1
        assert metric(server.port, "angle_adapt_ready") == 0
        server.desk.open(Engine(encoder, limits))
        assert ask(server.port, "GET", "/health").json == {"status": "ready"}
        assert embed(server, asked("a"), KEY).status == 200
        assert metric(server.port, "angle_adapt_ready") == 1
        assert metric(server.port, 'angle_adapt_requests_total{status="503"}') == 1


def test_a_full_queue_refuses_and_tells_when_to_come_back(blocked: Blocked) -> None:
    limits = Limits(max_texts=8, max_queue=8)
    with running(limits) as server, ThreadPoolExecutor(8) as pool:
        server.desk.open(engine := Engine(blocked, limits, server.desk.metrics.batch))
        held = [pool.submit(embed, server, asked(f"first {n}")) for n in range(engine.lanes)]
        for _ in range(engine.lanes):
            assert blocked.entered.acquire(timeout=20)
        waiting = pool.submit(embed, server, asked(*map(str, range(8))))
        until(lambda: engine.waiting == 8)
        assert metric(server.port, "angle_adapt_texts_waiting") == 8
        reply = embed(server, asked("one too many"))
        assert (reply.status, reply.json["error"]["code"]) == (429, "queue_full")
        assert int(reply.headers["retry-after"]) >= 1
        blocked.let.set()
        assert [one.result().status for one in (*held, waiting)] == [200] * (engine.lanes + 1)
        assert embed(server, asked("again")).status == 200


def test_a_client_that_goes_away_frees_its_place(blocked: Blocked) -> None:
    limits = Limits(max_texts=8, max_queue=8)
    with running(limits) as server, ThreadPoolExecutor(4) as pool:
        server.desk.open(engine := Engine(blocked, limits))
        held = [pool.submit(embed, server, asked(f"first {n}")) for n in range(engine.lanes)]
        for _ in range(engine.lanes):
            assert blocked.entered.acquire(timeout=20)
        body = json.dumps(asked(*map(str, range(8)))).encode()
        with closing(socket.create_connection(("127.0.0.1", server.port))) as line:
            head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)
            until(lambda: engine.waiting == 8)
        until(lambda: engine.waiting == 0)
        blocked.let.set()
        assert [one.result().status for one in held] == [200] * engine.lanes
        until(lambda: metric(server.port, 'angle_adapt_requests_total{status="499"}') == 1)


def test_a_text_that_fails_fails_alone_and_is_not_in_the_log(
    blocked: Blocked, caplog: pytest.LogCaptureFixture
) -> None:
    (ids,) = blocked.tokenizer(["~"], add_special_tokens=False)["input_ids"]
    blocked.forbidden = ids
    limits = Limits()
    with running(limits) as server, ThreadPoolExecutor(6) as pool:
        server.desk.open(engine := Engine(blocked, limits, server.desk.metrics.batch))
        texts = [f"text {n}" for n in range(5)] + ["secret ~"]
        replies = [pool.submit(embed, server, asked(text)) for text in texts]
        for _ in range(engine.lanes):
            assert blocked.entered.acquire(timeout=20)
        until(lambda: engine.waiting == 0 or len(engine._turns) == engine.waiting)
        blocked.let.set()
        found = [reply.result() for reply in replies]
        assert [one.status for one in found] == [200] * 5 + [500]
        assert "secret" not in found[-1].body.decode()
        assert found[-1].json["error"]["type"] == "server_error"
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_vectors_that_are_no_numbers_are_an_error_and_no_answer(
    encoder: TransformerEncoder,
) -> None:
    weights = encoder.model.get_input_embeddings().weight
    (ids,) = encoder.tokenizer(["~"], add_special_tokens=False)["input_ids"]
    kept = weights.detach().clone()
    limits = Limits()
    with running(limits) as server:
        server.desk.open(Engine(encoder, limits))
        try:
            with torch.no_grad():
                weights[ids] = float("nan")
            bad, good = embed(server, asked("a", "~")), embed(server, asked("a"))
        finally:
            with torch.no_grad():
                weights.copy_(kept)
    assert (bad.status, good.status) == (500, 200)


def test_threads_end_with_the_server(encoder: TransformerEncoder) -> None:
    before = threading.active_count()
    with running(Limits()) as server:
        server.desk.open(Engine(encoder, Limits()))
        assert threading.active_count() > before
    assert threading.active_count() == before
