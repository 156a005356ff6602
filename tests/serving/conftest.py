"""A small model of ours, and its servers: the command as a process, or the routes in ours."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import uvicorn
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoTokenizer

from pipeline.encoder.known import ONE_WORD
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec
from pipeline.encoder.transformer import (
    NO_START,
    Batch,
    Start,
    TransformerEncoder,
    load_backbone,
    load_model,
)
from pipeline.serving.app import Desk, Service, application
from pipeline.serving.engine import Engine
from pipeline.serving.limits import Limits
from pipeline.serving.server import listen
from pipeline.settings import Home

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
KEY = "sk-very-secret-0123456789"
VARIABLE = "SERVING_TEST_KEY"


class Reply(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: Any = None, key: str = "") -> Reply:
    """Send one request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | (
        {"authorization": f"Bearer {key}"} if key else {}
    )
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        lowered = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, lowered, response.read())


def metric(port: int, name: str) -> float:
    """Return a figure of /metrics."""
    page = ask(port, "GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for a minute at most."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def model(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as training writes it: an adapter on the tiny backbone."""
    folder = tmp_path_factory.mktemp("serving") / "tiny-model"
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template=ONE_WORD, pooling="last", max_length=40
    )
    encoder = load_backbone(spec, Home(folder), torch.float32)
    torch.manual_seed(3)
    adapted = get_peft_model(encoder.model, LoraConfig(r=2, target_modules=["q_proj", "up_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(folder)
    description = {
        "format_version": FORMAT_VERSION, "encoder": spec.model_dump(), "backbone_identity": "x",
        "first_layer": 0, "train": {},
    }  # fmt: skip
    (folder / MODEL_FILE).write_text(json.dumps(description), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def encoder(model: Path) -> TransformerEncoder:
    """What the servers should agree with."""
    return load_model(model, Home(model))


class Blocked(TransformerEncoder):
    """Encodes nothing until it is let, and fails at whatever holds a certain token."""

    let: threading.Event
    entered: threading.Semaphore
    forbidden: Sequence[int] = ()

    def embed(self, batch: Batch, start: Start = NO_START) -> Tensor:
        self.entered.release()
        assert self.let.wait(PATIENCE)
        if any(one in batch.tokens for one in self.forbidden):
            message = "secret words of a client"
            raise RuntimeError(message)
        return super().embed(batch, start)


@pytest.fixture
def blocked(encoder: TransformerEncoder) -> Iterator[Blocked]:
    made = Blocked(encoder.model, encoder.tokenizer, encoder.spec, "blocked")
    made.let, made.entered = threading.Event(), threading.Semaphore(0)
    yield made
    made.let.set()


class Running(NamedTuple):
    """A server in this process, with what stands behind it."""

    port: int
    desk: Desk


@contextmanager
def running(limits: Limits, key: str = "") -> Iterator[Running]:
    """Serve in a thread; the desk has no engine yet."""
    desk = Desk(Service("tiny-model", 1, key, limits))
    config = uvicorn.Config(application(desk), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as place:
        port = place.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        until(lambda: server.started)
        try:
            yield Running(port, desk)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            if desk.engine is not None:
                desk.engine.close()


@pytest.fixture(scope="module")
def served(encoder: TransformerEncoder) -> Iterator[Running]:
    """A server of the small model with small limits."""
    limits = Limits(max_texts=8, max_chars=200, max_queue=16, max_bytes=4_096, body_seconds=0.5)
    with running(limits) as server:
        server.desk.open(Engine(encoder, limits, server.desk.metrics.batch))
        yield server


class Command(NamedTuple):
    """The command in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    shown: list[str]  # lines of stdout so far

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it, and return its exit code and all that it ever wrote."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, "".join(self.shown) + out + err


def command(model: Path, *options: str) -> subprocess.Popen[str]:
    """Start `angle-adapt serve` on a free port."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT), "ANGLE_ADAPT_HOME": str(model.parent / "home"),
        VARIABLE: KEY, "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve", str(model), "--port", "0", *options],
        env=environment, cwd=model.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def listening(process: subprocess.Popen[str]) -> int:
    """Return the port that a started command tells first, before its model is loaded."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.match(r"http://127\.0\.0\.1:(\d+): loading", line)
    assert found, line + process.stderr.read()
    return int(found[1])


def ready(process: subprocess.Popen[str], port: int) -> Command:
    """Return the command once its model is loaded."""
    assert process.stdout is not None
    return Command(process, port, [process.stdout.readline(), process.stdout.readline()])


@pytest.fixture(scope="session")
def server(model: Path) -> Iterator[Command]:
    """The command as users start it, with a key."""
    with command(model, "--key-env", VARIABLE) as process:
        try:
            yield ready(process, listening(process))
        finally:
            process.kill()
