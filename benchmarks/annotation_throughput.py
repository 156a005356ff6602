"""How near labelling comes to what an endpoint's latency allows, and what it costs meanwhile.

The endpoint is the project's own for tests, a process of its own. The labelling process labels and
does nothing else; its time, its processor time and its largest resident size are its own figures.
When each request came and went is the endpoint's.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._record import Figure, Measurement
from pipeline.config import CHECKOUT
from tests.endpoint.fixtures import Endpoint, start

log = logging.getLogger(__name__)

CLAIM: Final = (
    "Labelling 10,000 pairs at an endpoint that answers in 50 ms keeps 64 requests at a time so "
    "busy that at least 95 % of the ideal throughput is reached, from the first request to the "
    "last answer, every answer being on disk before it counts; it takes at most 150 MB of memory "
    "and 1.5 ms of processor time for a label."
)
PAIRS: Final = 10_000
QUICK_PAIRS: Final = 3_000
LATENCY: Final = 0.05
CONCURRENCY: Final = 64
RUNS: Final = 5
QUICK_RUNS: Final = 2
SEED: Final = 13
MEGABYTE: Final = 1e6

# What labels: imports what it needs and nothing else, and prints its figures as JSON.
LABELLER: Final = """
import json, random, resource, sys, time
from pathlib import Path
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from pipeline.sections import ChatSettings

url, journal, count, concurrency, seed = sys.argv[1:]
draw = random.Random(int(seed))
words = "open close read file socket byte list sort number size return path name".split()
pairs = [tuple(" ".join(draw.choices(words, k=8)) + f" {number} {side}" for side in "ab")
         for number in range(int(count))]
settings = ChatSettings(base_url=url, model="m", key="", orders=1, concurrency=int(concurrency))
annotator = ChatAnnotator("endpoint", settings, Terms(journal, "throughput"))

def peak():
    # The system's own count begins with what the process was forked from.
    status = Path("/proc/self/status")
    if status.is_file():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024)

begin, spent = time.perf_counter(), time.process_time()
said = annotator.annotate(pairs)
print(json.dumps({
    "seconds": time.perf_counter() - begin,
    "cpu": time.process_time() - spent,
    "labels": sum(score == score for score in said.scores),
    "memory": peak(),
}))
"""

# The most that anyone could reach: the same requests, and nothing is kept or read.
BARE: Final = """
import asyncio, sys
import aiohttp

url, count, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
body = b'{"model":"m","logprobs":true,"top_logprobs":8,"messages":[{"role":"user","content":"%s"}]}'
left = iter(range(count))

async def work(session):
    for number in left:
        data = body % (b"%d" % number + b" a text of the usual length" * 70)
        async with session.post(url + "/chat/completions", data=data) as response:
            await response.read()

async def main():
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))

asyncio.run(main())
"""


class Run(NamedTuple):
    """What one run took: seconds, and bytes."""

    busy: float  # from the first request to the last answer
    whole: float  # from the call to its return
    at_endpoint: float  # all requests together, from arrival to answer
    cpu: float
    memory: float
    labels: int


def measure(*, quick: bool) -> Measurement:
    """Label with empty journals again and again; ``quick`` takes fewer pairs and turns."""
    pairs, turns = (QUICK_PAIRS, QUICK_RUNS) if quick else (PAIRS, RUNS)
    runs, bare = [], []
    with start(latency=LATENCY) as endpoint:
        for turn in range(turns):
            runs.append(_run(endpoint, pairs))
            log.info("turn %d of %d: %.2f s", turn + 1, turns, runs[-1].busy)
            endpoint.reset()
            bare.append(_bare(endpoint, pairs))
            endpoint.reset()
    most = 100 * _ideal(pairs) / statistics.median(bare)
    figures = [
        *_figures(runs, pairs),
        Figure.of("share that a client reaches which keeps and reads nothing", most, "%"),
    ]
    return Measurement(tuple(figures), SEED)


def _bare(endpoint: Endpoint, pairs: int) -> float:
    """Return the seconds from the first request to the last answer of a client without a task."""
    arguments = [endpoint.url, str(pairs), str(CONCURRENCY)]
    subprocess.run([sys.executable, "-c", BARE, *arguments], cwd=CHECKOUT, check=True)  # noqa: S603
    entries = endpoint.ledger()
    came = min(entry["arrived"] for entry in entries)
    return float(max(entry["sent"] for entry in entries) - came)


def _ideal(pairs: int) -> float:
    return pairs * LATENCY / CONCURRENCY


def _run(endpoint: Endpoint, pairs: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        journal = Path(folder) / "requests.sqlite"
        arguments = [endpoint.url, str(journal), str(pairs), str(CONCURRENCY), str(SEED)]
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            [sys.executable, "-c", LABELLER, *arguments], cwd=CHECKOUT, check=True,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    own: Mapping[str, Any] = json.loads(done.stdout)
    entries = endpoint.ledger()
    came = min(entry["arrived"] for entry in entries)
    busy = max(entry["sent"] for entry in entries) - came
    at_endpoint = sum(entry["sent"] - entry["arrived"] for entry in entries)
    return Run(busy, own["seconds"], at_endpoint, own["cpu"], own["memory"], own["labels"])


def _figures(runs: list[Run], pairs: int) -> list[Figure]:
    ideal = _ideal(pairs)
    busy = statistics.median(run.busy for run in runs)
    whole = statistics.median(run.whole for run in runs)
    filled = statistics.median(run.at_endpoint / CONCURRENCY / run.busy for run in runs)
    latency = statistics.median(run.at_endpoint / pairs for run in runs)
    cpu = statistics.median(run.cpu / pairs for run in runs)
    memory = max(run.memory for run in runs)
    which = f"{pairs:,} pairs, median of {len(runs)}"
    return [
        Figure.of(f"share of the ideal throughput, {which}", 100 * ideal / busy, "%", ">=", 95),
        Figure.of("own processor time for a label", 1e3 * cpu, "ms", "<=", 1.5),
        Figure.of("largest memory of a run", memory / MEGABYTE, "MB", "<=", 150),
        Figure.of("pairs without a label", pairs - min(run.labels for run in runs), "", "<=", 0),
        Figure.of("labels a second", pairs / busy, "/s", ">="),
        Figure.of("labels a second, planning included", pairs / whole, "/s", ">="),
        Figure.of("endpoint kept busy with all 64 requests", 100 * filled, "%", ">="),
        Figure.of("endpoint's own latency, asked for 50 ms", 1e3 * latency, "ms"),
    ]
