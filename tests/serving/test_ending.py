"""How the command begins and ends: health before the model, SIGTERM amid requests, bad options."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from pipeline.encoder import cosine
from pipeline.encoder.transformer import TransformerEncoder
from tests.serving.conftest import KEY, VARIABLE, ask, command, listening, metric, ready, until

CLIENTS, TEXTS = 6, 250


def send(port: int, texts: list[str]) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=60)
    body = json.dumps({"model": "given", "input": texts}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    line.sendall(head.encode() + body)
    return line


def received(line: socket.socket) -> list[list[float]]:
    data = b""
    with closing(line):
        while part := line.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return [one["embedding"] for one in json.loads(body)["data"]]


def test_sigterm_amid_requests_loses_none_and_no_log_holds_the_key_or_a_text(
    model: Path, encoder: TransformerEncoder
) -> None:
    with command(model, "--name", "given", "--key-env", VARIABLE) as process:
        try:
            port = listening(process)
            assert ask(port, "GET", "/health").status == 503
            assert ask(port, "GET", "/health/live").status == 200
            server = ready(process, port)
            assert ask(port, "GET", "/health").status == 200
            sent = [
                [f"secret words {client} {text} " * 9 for text in range(TEXTS)]
                for client in range(CLIENTS)
            ]
            lines = [send(port, texts) for texts in sent]

            def accepted() -> bool:
                held = metric(port, "angle_adapt_texts_waiting")
                return held + metric(port, "angle_adapt_batch_texts_sum") >= 0.9 * CLIENTS * TEXTS

            until(accepted)
            answered = metric(port, 'angle_adapt_requests_total{status="200"}')
            process.send_signal(signal.SIGTERM)
            found = [received(line) for line in lines]
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert answered < CLIENTS, "it was too quick to be stopped amid requests"
    assert process.returncode == 0, err
    for texts, own in zip(sent[:2], found, strict=False):
        expected = encoder.encode(texts, label="")
        assert cosine(np.array(own, dtype=np.float32), expected).min() >= 0.9999
    assert [len(own) for own in found] == [TEXTS] * CLIENTS
    said = "".join(server.shown) + out + err
    assert KEY not in said
    assert "secret" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["no-such-model"], 3, "no-such-model"),
        (["MODEL", "--key-env", "NO_SUCH_VARIABLE"], 2, "NO_SUCH_VARIABLE: it is set neither"),
        (["MODEL", "--max-queue", "5"], 2, "raise max_queue or lower max_texts"),
        (["MODEL", "--port", "TAKEN"], 3, "cannot listen on 127.0.0.1 port"),
        (["MODEL", "--host", "no.such.host.invalid"], 3, "choose --host and --port"),
        (["FOLDER"], 3, "is not a model of ours"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    model: Path, tmp_path: Path, options: list[str], code: int, told: str
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        names = {
            "MODEL": str(model), "FOLDER": str(tmp_path), "TAKEN": str(taken.getsockname()[1]),
        }  # fmt: skip
        ended = CliRunner().invoke(app, ["serve", *(names.get(one, one) for one in options)])
    assert ended.exit_code == code, ended.output
    assert told in ended.output
    assert "Traceback" not in ended.output


def test_a_model_that_cannot_be_loaded_ends_the_server(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "adapter_model.safetensors").write_bytes(b"nothing")
    ended = CliRunner().invoke(app, ["serve", str(broken), "--port", "0"])
    assert ended.exit_code == 3, ended.output
    assert "Traceback" not in ended.output
