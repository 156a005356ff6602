"""Encoding: how fast beside sentence-transformers, from one text to thousands, and how exact."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks import _peers, _workload
from benchmarks._peers import OURS, SENTENCE_TRANSFORMERS
from benchmarks._record import Figure, Measurement
from benchmarks.peers import gauge
from benchmarks.peers.gauge import Encoding, Job
from pipeline.encoder import Vectors, cosine
from pipeline.sections import EncoderSettings
from pipeline.settings import home

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two CPU cores, 5,000 texts of the default domain are encoded at least twice as fast as by "
    "sentence-transformers in the same precision and four times as fast as by it in float32, no "
    "number of texts is encoded slower, and no vector's cosine with its float32 one is below 0.999."
)
# Numbers of texts, and in how many rounds each is timed; the more, the shorter it takes.
FULL: Final[dict[int, int]] = {1: 5, 10: 5, 100: 5, 1_000: 3, 5_000: 1}
QUICK: Final[dict[int, int]] = {1: 1, 10: 1, 50: 1}
FLOAT32: Final = "float32"
COMPARED: Final = 1_000  # texts whose vectors are compared with float32
SAVED: Final = ("ours", "theirs", "exact")
QUICK_SECONDS: Final = 60.0


class Way(NamedTuple):
    """A library in a precision; "own" is what ours chooses."""

    library: str
    precision: str


DEFAULT: Final = Way(OURS, "own")


class Seen(NamedTuple):
    """All reports of each way, and the lowest cosines found."""

    reports: Mapping[Way, Sequence[Encoding]]
    to_float32: float
    to_peer: float
    repeats: float  # share of the texts that came before


def measure(*, quick: bool) -> Measurement:
    """Encode the same texts with both, in turns; a process for each round and library.

    Both use their defaults, the template around each text, last-token pooling and the same longest
    text. The precision of ours is what it chooses: bfloat16 where the processor multiplies it.
    sentence-transformers left alone loads what the folder stores, which is bfloat16 too, and warns
    that float32 may be faster on a processor; it is measured in the precision of ours and, for the
    largest number of texts, in float32.
    """
    rounds = QUICK if quick else FULL
    place = home()
    _peers.interpreter(_peers.PEERS[SENTENCE_TRANSFORMERS], place)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "texts.jsonl"
        _workload.write_texts(data, max(rounds), place, quick=quick)
        job = _job(data)
        start = time.perf_counter()
        seen = _observe(job, rounds, Path(folder))
        whole = time.perf_counter() - start
    found = figures(seen)
    judged = _peers.without_targets(found) if quick else found
    limit = QUICK_SECONDS if quick else None
    lasted = Figure.of("measurement, environment and texts made before", whole, "s", target=limit)
    return Measurement((*judged, lasted), job.seed)


def _job(data: Path) -> Job:
    return Job(
        task="encode",
        backbone=_workload.weights(home()),
        data=str(data),
        template=_workload.TEMPLATE,
        text_tokens=EncoderSettings().max_length,
    )


def _observe(job: Job, rounds: Mapping[int, int], folder: Path) -> Seen:
    texts = [row["text"] for row in gauge.rows(job.data)]
    reports: dict[Way, list[Encoding]] = {}

    def encode(way: Way, sizes: Sequence[int], vectors: str = "") -> Encoding:
        log.info("%s, %s: %s texts", *way, ", ".join(map(str, sizes)))
        path = str(folder / vectors) if vectors else ""
        asked = replace(job, precision=way.precision, sizes=tuple(sizes), vectors=path)
        report = _peers.run(way.library, asked, Encoding, home())
        reports.setdefault(way, []).append(report)
        return report

    largest = max(rounds)
    precision = encode(DEFAULT, list(rounds), "ours.npy").precision
    same = Way(SENTENCE_TRANSFORMERS, precision)
    encode(same, list(rounds), "theirs.npy")
    for number in range(1, max(rounds.values())):
        sizes = [size for size, times in rounds.items() if times > number]
        for way in (same, DEFAULT) if number % 2 else (DEFAULT, same):
            encode(way, sizes)
    if precision != FLOAT32:
        encode(Way(SENTENCE_TRANSFORMERS, FLOAT32), [largest])
    encode(Way(OURS, FLOAT32), [min(COMPARED, largest)], "exact.npy")
    found = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in SAVED}
    return Seen(
        reports=reports,
        to_float32=lowest_cosine(found["ours"], found["exact"]),
        to_peer=lowest_cosine(found["ours"], found["theirs"]),
        repeats=1 - len(set(texts)) / len(texts),
    )


def lowest_cosine(one: Vectors, other: Vectors) -> float:
    """Return the lowest cosine of a text's two vectors, over the texts that both have."""
    number = min(len(one), len(other))
    return float(cosine(one[:number], other[:number]).min())


def figures(seen: Seen) -> tuple[Figure, ...]:
    """Return the ratios with their targets, then what they are ratios of."""
    ours = medians(seen.reports[DEFAULT])
    precision = seen.reports[DEFAULT][0].precision
    same = medians(seen.reports[Way(SENTENCE_TRANSFORMERS, precision)])
    exact = medians(seen.reports[Way(SENTENCE_TRANSFORMERS, FLOAT32)])
    largest = max(ours)
    ratios = {size: same[size] / ours[size] for size in ours}
    peer = SENTENCE_TRANSFORMERS
    return (
        Figure.of(
            f"{largest:,} texts, times {peer} in the same precision", ratios[largest], "", ">=", 2
        ),
        Figure.of(
            f"{largest:,} texts, times {peer} in {FLOAT32}", exact[largest] / ours[largest], "",
            ">=", 4,
        ),
        Figure.of(f"smallest of the ratios, {precision} both", min(ratios.values()), "", ">=", 1),
        Figure.of(f"lowest cosine with {FLOAT32}", seen.to_float32, "", ">=", 0.999),
        Figure.of(f"lowest cosine with {peer}'s vectors", seen.to_peer, "", ">="),
        Figure.of("share of texts that came before", seen.repeats, "", ">="),
        *(Figure.of(f"{size:,} texts: ratio", ratio, "", ">=") for size, ratio in ratios.items()),
        *_speeds(seen.reports),
    )  # fmt: skip


def medians(reports: Sequence[Encoding]) -> dict[int, float]:
    """Return the median seconds of each number of texts, over the reports that timed it."""
    sizes = sorted({int(size) for report in reports for size in report.seconds})
    return {
        size: statistics.median(
            report.seconds[str(size)] for report in reports if str(size) in report.seconds
        )
        for size in sizes
    }


def _speeds(reports: Mapping[Way, Sequence[Encoding]]) -> list[Figure]:
    found = []
    for way, own in reports.items():
        title = f"{way.library} {own[0].versions.get(way.library, '')}".strip()
        found += [
            Figure.of(f"{title}, {own[0].precision}: {size:,} texts", size / taken, "texts/s", ">=")
            for size, taken in medians(own).items()
            if way != Way(OURS, FLOAT32)
        ]
    return found
