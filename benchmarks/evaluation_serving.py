"""How near the endpoint for vectors comes to what `encode` does with the same texts.

Three processes: one that only encodes, the server as users start it, and the client. They take
turns in one run, and whoever's turn it is not waits without using a processor; only client and
server share it. The client sends bodies made before, and reads no answer before the clock stops.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from benchmarks import _workload
from benchmarks._record import Figure, Measurement
from pipeline.config import CHECKOUT
from pipeline.encoder import cosine
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, ModelDescription
from pipeline.errors import ResourceError
from pipeline.sections import EncoderSettings
from pipeline.settings import HOME_VARIABLE, home

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two CPU cores, 32 clients that send 1 to 32 texts a request get at least 90 % of the texts "
    "a second that one call of `encode` reaches over the same texts with the default backbone, the "
    "clients' own work included, and vectors whose cosine with those of `encode` is at least 0.999."
)
CONCURRENCY: Final = 32
SEED: Final = 13
MODEL: Final = "default"
# Texts of the requests, in turns; the first is what the claim is about.
SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "1 to 32 texts a request": (4, 32, 1, 8, 2, 16),
    "1 text a request": (1,),
}
CLAIMED: Final = "1 to 32 texts a request"
TEXTS: Final = 1_500
QUICK_TEXTS: Final = 100
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 1

# Encodes a file of texts whenever it is told to, and prints the seconds.
ENCODER: Final = """
import json, sys, time
from pathlib import Path
import numpy as np
from pipeline.encoder.transformer import load_model
from pipeline.settings import home

model, data, out = sys.argv[1:]
encoder = load_model(Path(model), home())
texts = json.loads(Path(data).read_text())
encoder.encode(texts[:64], label="")
print("ready", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    vectors = encoder.encode(texts, label="")
    print(time.perf_counter() - begin, flush=True)
    np.save(out, vectors)
"""

# Sends prepared bodies, so many at a time; prints seconds, latencies and its processor time.
CLIENT: Final = """
import asyncio, json, sys, time
from pathlib import Path
import aiohttp

url, data, out, concurrency = sys.argv[1:]
bodies = [body.encode() for body in json.loads(Path(data).read_text())]
answers, latencies = [b""] * len(bodies), []
left = iter(range(len(bodies)))

async def work(session):
    for number in left:
        begin = time.perf_counter()
        async with session.post(url, data=bodies[number]) as response:
            answers[number] = await response.read()
        latencies.append(time.perf_counter() - begin)
        assert response.status == 200, answers[number]

async def main():
    headers = {"content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(int(concurrency))))

begin, spent = time.perf_counter(), time.process_time()
asyncio.run(main())
taken = {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - spent}
Path(out).write_text(json.dumps([answer.decode() for answer in answers]))
print(json.dumps(taken | {"latencies": latencies}))
"""


class Load(NamedTuple):
    """What the client saw in one round, and the batches that the server made of it."""

    seconds: float
    cpu: float  # of the client
    latencies: list[float]
    batches: float
    lowest_cosine: float


class Seen(NamedTuple):
    """All rounds."""

    texts: int
    encode: list[float]  # seconds
    loads: Mapping[str, list[Load]]


def measure(*, quick: bool) -> Measurement:
    """Encode and serve the same texts in turns; ``quick`` takes few texts and one round."""
    count, rounds = (QUICK_TEXTS, QUICK_ROUNDS) if quick else (TEXTS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        seen = _observe(Path(folder), count, rounds, quick=quick)
    return Measurement(tuple(figures(seen, judged=not quick)), SEED)


def _observe(folder: Path, count: int, rounds: int, *, quick: bool) -> Seen:
    texts = _texts(folder, count, quick=quick)
    model = folder / MODEL
    _write_model(model)
    encode: list[float] = []
    loads: dict[str, list[Load]] = {shape: [] for shape in SHAPES}
    with ExitStack() as stack:
        out = folder / "encoded.npy"
        raw = stack.enter_context(_encoder(model, folder / "texts.json", out))
        url = stack.enter_context(_server(model))
        encode.append(_encoded(raw))  # the vectors are there before the first comparison
        _ask(url, "1 to 32 texts a request", texts[:200], folder)  # and everything is warm
        encode.clear()
        for number in range(rounds):
            turns = ["encode", *SHAPES]
            for turn in turns if number % 2 == 0 else reversed(turns):
                log.info("round %d: %s", number + 1, turn)
                if turn == "encode":
                    encode.append(_encoded(raw))
                else:
                    loads[turn].append(_ask(url, turn, texts, folder))
    return Seen(len(texts), encode, loads)


def _texts(folder: Path, count: int, *, quick: bool) -> list[str]:
    """Return distinct texts of the default domain, and leave them in ``texts.json``."""
    data = folder / "texts.jsonl"
    _workload.write_texts(data, 120 if quick else 5_000, home(), quick=quick)
    found = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    texts = list(dict.fromkeys(found))[:count]
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    return texts


def _write_model(folder: Path) -> None:
    """Write a model directory that is the default backbone."""
    spec = EncoderSpec.of(EncoderSettings())
    folder.mkdir()
    description = ModelDescription(
        format_version=FORMAT_VERSION, encoder=spec, backbone_identity="", first_layer=0, train={}
    )
    (folder / MODEL_FILE).write_text(description.model_dump_json(), encoding="utf-8")


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(CHECKOUT), HOME_VARIABLE: str(home().root)}


@contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own program, no shell
        [sys.executable, *command], env=_environment(), text=True, cwd=CHECKOUT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def _line(stream: IO[str] | None) -> str:
    line = stream.readline() if stream else ""
    if not line:
        message = "a process of the measurement ended; it says why above"
        raise ResourceError(message)
    return line


@contextmanager
def _encoder(model: Path, data: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    with _process(["-c", ENCODER, str(model), str(data), str(out)]) as process:
        _line(process.stdout)
        yield process


def _encoded(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.write("\n")
    process.stdin.flush()
    return float(_line(process.stdout))


@contextmanager
def _server(model: Path) -> Iterator[str]:
    with _process(["-m", "flows.cli", "serve", str(model), "--port", "0"]) as process:
        found = re.match(r"(http\S+)/v1: ready", _line(process.stdout))
        if found is None:
            message = "the server does not say where it is; what it says is above"
            raise ResourceError(message)
        yield found[1]


def _ask(url: str, shape: str, texts: Sequence[str], folder: Path) -> Load:
    """Ask for the vectors of all texts, and compare them with those of ``encode``."""
    bodies = list(_bodies(texts, SHAPES[shape]))
    data, out = folder / "bodies.json", folder / "answers.json"
    data.write_text(json.dumps(bodies), encoding="utf-8")
    before = _batches(url)
    command = [sys.executable, "-c", CLIENT, f"{url}/v1/embeddings", str(data), str(out)]
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        [*command, str(CONCURRENCY)], stdout=subprocess.PIPE, text=True, check=True
    )
    taken: dict[str, Any] = json.loads(done.stdout)
    answers = [json.loads(answer) for answer in json.loads(out.read_text(encoding="utf-8"))]
    raw = [base64.b64decode(one["embedding"]) for answer in answers for one in answer["data"]]
    vectors = np.stack([np.frombuffer(one, dtype="<f4") for one in raw])
    encoded = np.load(folder / "encoded.npy", allow_pickle=False)[: len(vectors)]
    lowest = float(cosine(vectors, encoded).min())
    return Load(batches=_batches(url) - before, lowest_cosine=lowest, **taken)


def _bodies(texts: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
    begin = number = 0
    while begin < len(texts):
        size = sizes[number % len(sizes)]
        asked = {
            "model": MODEL, "input": list(texts[begin : begin + size]), "encoding_format": "base64",
        }  # fmt: skip
        yield json.dumps(asked)
        begin, number = begin + size, number + 1


def _batches(url: str) -> float:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/metrics", timeout=30) as page:
        text = page.read().decode()
    found = re.search(r"^angle_adapt_batch_texts_count (\S+)$", text, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def figures(seen: Seen, *, judged: bool) -> list[Figure]:
    """Return the ratio that is claimed, how exact the vectors are, and what else was seen."""
    lowest = min(load.lowest_cosine for rounds in seen.loads.values() for load in rounds)
    found = []
    for shape, rounds in seen.loads.items():
        target = 90 if judged and shape == CLAIMED else None
        shares = [100 * raw / load.seconds for raw, load in zip(seen.encode, rounds, strict=True)]
        found.append(
            Figure.of(
                f"{shape}: of encode's throughput", statistics.median(shares), "%", ">=", target
            )
        )
        found += [
            Figure.of(f"{shape}: lowest of the rounds", min(shares), "%", ">="),
            Figure.of(f"{shape}: highest of the rounds", max(shares), "%", ">="),
        ]
    exact = Figure.of("lowest cosine with encode", lowest, "", ">=", 0.999 if judged else None)
    speed = Figure.of("encode", seen.texts / statistics.median(seen.encode), "texts/s", ">=")
    return [*found, exact, speed, *_details(seen)]


def _details(seen: Seen) -> Iterator[Figure]:
    for shape, rounds in seen.loads.items():
        seconds = statistics.median(load.seconds for load in rounds)
        latencies = [1e3 * one for load in rounds for one in load.latencies]
        middle, high = np.percentile(latencies, [50, 99])
        batch = statistics.median(seen.texts / load.batches for load in rounds)
        client = statistics.median(100 * load.cpu / load.seconds for load in rounds)
        yield Figure.of(f"{shape}: throughput", seen.texts / seconds, "texts/s", ">=")
        yield Figure.of(f"{shape}: latency, median", float(middle), "ms")
        yield Figure.of(f"{shape}: latency, 99th percentile", float(high), "ms")
        yield Figure.of(f"{shape}: texts in a batch", batch, "", ">=")
        yield Figure.of(f"{shape}: the client's share of a core", client, "%")
