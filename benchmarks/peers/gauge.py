"""A job for one library, and what doing it took: read, measured and printed the same way by all.

Runs in every environment, so it imports the standard library alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

PACKAGES: Final = (
    "torch", "transformers", "peft", "accelerate", "angle-emb", "sentence-transformers",
)  # fmt: skip
STATUS: Final = Path("/proc/self/status")

Rows = list[dict[str, str | float]]


@dataclass(frozen=True)
class Job:
    """What a library is asked to do, in a process of its own."""

    task: Literal["train", "encode"]
    backbone: str  # folder with safetensors, config.json and the tokenizer
    data: str  # JSONL: of sentence1, sentence2 and score to train on, of text to encode
    template: str
    text_tokens: int  # longest text, the template not counted
    precision: str = "own"  # "own" is what the library's user gets; else float32 or bfloat16
    adapters: Literal["own", "everywhere"] = "own"  # everywhere: all linear layers
    batch_pairs: int = 32
    lora_rank: int = 16
    lora_alpha: int = 32
    learning_rate: float = 1e-3
    seed: int = 13
    sizes: tuple[int, ...] = ()  # numbers of texts to encode, each timed
    vectors: str = ""  # where the vectors of the largest size are saved (.npy), if anywhere


@dataclass(frozen=True)
class Training:
    """What one training run over all pairs took. Bytes of memory; seconds of each step.

    The first step counts from the call that trains, so it holds what is prepared there.
    """

    library: str
    precision: str
    seconds: tuple[float, ...]
    resident_before: int
    peak_training: int
    peak: int
    tokens: int  # put into the model, padding not counted
    trainable: int
    moved: float  # largest entry of LoRA's B matrices, which start at zero
    threads: int
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoding:
    """How many seconds each number of texts took to encode."""

    library: str
    precision: str
    seconds: dict[str, float]  # by number of texts; JSON has no other keys than text
    threads: int
    versions: dict[str, str] = field(default_factory=dict)


Report = TypeVar("Report", Training, Encoding)
Vectors = TypeVar("Vectors")


def write(job: Job, path: Path) -> None:
    """Write ``job`` as JSON."""
    path.write_text(json.dumps(asdict(job)) + "\n", encoding="utf-8")


def read(path: Path) -> Job:
    """Return the job in ``path``."""
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return Job(**{**loaded, "sizes": tuple(loaded["sizes"])})


def parse(line: str, kind: type[Report]) -> Report:
    """Return the report in a line of JSON."""
    loaded = json.loads(line)
    if kind is Training:
        loaded["seconds"] = tuple(loaded["seconds"])
    return kind(**loaded)


def main(**tasks: Callable[[Job], Training | Encoding]) -> None:
    """Do the job named on the command line; the only line on stdout is its report."""
    job = read(Path(sys.argv[1]))
    with redirect_stdout(sys.stderr):  # libraries print
        report = tasks[job.task](job)
    sys.stdout.write(json.dumps(asdict(report)) + "\n")


def rows(path: str) -> Rows:
    """Return the rows of a JSONL file."""
    with Path(path).open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that this environment has."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class Gauge:
    """Clock and memory of a training run: `start` when all is loaded, `step` after every step."""

    def __init__(self) -> None:
        self.tokens = 0
        self._times: list[float] = []
        self._before = self._peak_before = 0

    def start(self) -> None:
        """Begin: what is resident now is not charged to training."""
        self._before, self._peak_before = _memory()
        with suppress(OSError):  # Linux: peaks count from here on
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._times = [time.perf_counter()]

    def step(self) -> None:
        """Take the time: an optimiser step has ended."""
        self._times.append(time.perf_counter())

    def result(self) -> dict[str, Any]:
        """Return the fields of a `Training` that were measured here."""
        _, peak = _memory()
        times = self._times
        return {
            "seconds": tuple(end - start for start, end in pairwise(times)),
            "resident_before": self._before,
            "peak_training": peak,
            "peak": max(peak, self._peak_before),
            "tokens": self.tokens,
        }


def timed(
    encode: Callable[[list[str]], Vectors], texts: Sequence[str], sizes: Sequence[int]
) -> tuple[dict[str, float], Vectors]:
    """Return the seconds that ``encode`` takes for 1, 10, ... texts, and the vectors of the last.

    Some texts are encoded before the first clock starts. Small sizes are repeated, with other texts
    each time, until 30 texts are encoded, and the mean is returned.
    """
    vectors = encode(list(texts[:16]))
    seconds = {}
    for size in sorted(sizes):
        calls = max(1, 30 // size)
        start = time.perf_counter()
        for call in range(calls):
            vectors = encode(list(texts[call * size : (call + 1) * size]))
        seconds[str(size)] = (time.perf_counter() - start) / calls
    return seconds, vectors


def _memory() -> tuple[int, int]:
    """Return resident size and its highest value so far, in bytes.

    `ru_maxrss` alone will not do where there is better: it holds the parent's peak from before
    the program was started, and cannot be reset.
    """
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        return _kibibytes(lines["VmRSS"]), _kibibytes(lines["VmHWM"])
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = peak if sys.platform == "darwin" else peak * 1024
        return size, size


def _kibibytes(field_: str) -> int:
    return int(field_.split(maxsplit=1)[0]) * 1024
