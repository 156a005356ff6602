"""A training step: how fast, and in how much memory, beside angle_emb and sentence-transformers."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import _peers, _workload
from benchmarks._peers import ANGLE_EMB, OURS, SENTENCE_TRANSFORMERS
from benchmarks._record import Figure, Measurement
from benchmarks.peers import gauge
from benchmarks.peers.gauge import Job, Training
from pipeline.config import DomainConfig
from pipeline.errors import ResourceError
from pipeline.sections import EncoderSettings, TrainSettings
from pipeline.settings import home
from pipeline.training import batches

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two CPU cores, LoRA training of the default backbone on mined pairs goes through at least "
    "four times as many pairs a second as angle_emb and twice as many as sentence-transformers, "
    "each at its own defaults, in at most 60 % of their memory; with the same precision and "
    "adapters in every layer, at least 1.3 times as many as sentence-transformers."
)
GIB: Final = 2**30
QUICK_SECONDS: Final = 60.0


class Size(NamedTuple):
    """How much is trained: one epoch of ``steps`` batches, the first ``warm_up`` not timed.

    ``share`` of what ours does before its first step counts for every step.
    """

    batch: int
    steps: int
    warm_up: int
    share: float


FULL: Final = Size(batch=32, steps=2, warm_up=1, share=0.5)
QUICK: Final = Size(batch=4, steps=2, warm_up=1, share=0.5)


class Way(NamedTuple):
    """One library with one choice of settings; precision "ours" is the one that ours chose."""

    library: str
    precision: str = "own"
    adapters: str = "own"


DEFAULT: Final = Way(OURS)
EVERYWHERE: Final = Way(OURS, adapters="everywhere")
ANGLE: Final = Way(ANGLE_EMB)
OTHER: Final = Way(SENTENCE_TRANSFORMERS)
EQUAL: Final = Way(SENTENCE_TRANSFORMERS, precision="ours", adapters="everywhere")
WAYS: Final = (DEFAULT, ANGLE, OTHER, EVERYWHERE, EQUAL)
ROUNDS: Final = 5

Reports = Mapping[Way, Sequence[Training]]


def measure(*, quick: bool) -> Measurement:
    """Train all on the same pairs, one after another, five times over.

    Each run is a process of its own: one epoch over the same pairs in batches of the same size,
    LoRA of rank 16, AdamW, last-token pooling, the same template; a step ends with the optimiser's.
    By default, angle_emb puts adapters into all linear layers, sentence-transformers into queries
    and values, ours into all linear layers of the upper third; both others compute in float32. The
    comparison of equals has adapters in all linear layers, and the precision that ours chooses for
    frozen weights and products (bfloat16 where the processor multiplies it).

    A batch from which angle_emb leaves out pairs (those with a text that the batch already has)
    counts as a whole one. The quick instance is too short for its ratios to mean anything.
    """
    size = QUICK if quick else FULL
    place = home()
    for peer in _peers.PEERS.values():
        _peers.interpreter(peer, place)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs.jsonl"
        _workload.write_pairs(data, size.batch * size.steps, place, quick=quick)
        if not quick:
            whole = Path(folder) / "whole.jsonl"
            _workload.write_pairs(
                whole, DomainConfig(domain="default").mine.pairs, place, quick=False
            )
            size = size._replace(share=preparation_share(data, whole, size.batch))
        job = _job(data, size.batch)
        start = time.perf_counter()
        reports = _observe(job, WAYS if quick else WAYS * ROUNDS)
        took = time.perf_counter() - start
    found = figures(reports, size)
    limit = QUICK_SECONDS if quick else None
    lasted = Figure.of("measurement, environments and pairs made before", took, "s", target=limit)
    judged = _peers.without_targets(found) if quick else found
    return Measurement((*judged, lasted), job.seed)


def _job(data: Path, batch: int) -> Job:
    return Job(
        task="train",
        backbone=_workload.weights(home()),
        data=str(data),
        template=_workload.TEMPLATE,
        text_tokens=EncoderSettings().max_length,
        batch_pairs=batch,
    )


def _observe(job: Job, order: Sequence[Way]) -> dict[Way, list[Training]]:
    reports: dict[Way, list[Training]] = {}
    for number, way in enumerate(order, 1):
        log.info("%d/%d %s, adapters: %s", number, len(order), way.library, way.adapters)
        ours = reports[DEFAULT][0].precision if reports else "own"
        precision = ours if way.precision == "ours" else way.precision
        changes: dict[str, Any] = {"precision": precision, "adapters": way.adapters}
        report = _peers.run(way.library, replace(job, **changes), Training, home())
        check(report)
        reports.setdefault(way, []).append(report)
    return reports


def check(report: Training) -> None:
    """Refuse a run that did not train: LoRA's B matrices are zero at first.

    Raises:
        ResourceError: when they still are, or are not numbers.
    """
    if not 0 < report.moved < float("inf"):
        message = f"{report.library} did not train: its adapters moved by {report.moved}"
        raise ResourceError(message)


def figures(reports: Reports, size: Size) -> tuple[Figure, ...]:
    """Return the ratios with their targets, then what they are ratios of."""
    speed = {way: size.batch / step_seconds(way, reports[way], size) for way in reports}
    step = {way: max(r.peak_training - r.resident_before for r in reports[way]) for way in reports}
    peak = {way: max(report.peak for report in reports[way]) for way in reports}
    ratios = [
        Figure.of("pairs a second, times angle_emb", speed[DEFAULT] / speed[ANGLE], "", ">=", 4),
        Figure.of(
            f"pairs a second, times {SENTENCE_TRANSFORMERS}", speed[DEFAULT] / speed[OTHER], "",
            ">=", 2,
        ),
        Figure.of(
            f"pairs a second, times {SENTENCE_TRANSFORMERS}, same precision and layers",
            speed[EVERYWHERE] / speed[EQUAL], "", ">=", 1.3,
        ),
    ]  # fmt: skip
    for name, memory in (("memory of a step", step), ("peak memory of the process", peak)):
        for other in (ANGLE, OTHER):
            share = memory[DEFAULT] / memory[other]
            ratios.append(Figure.of(f"{name}, share of {other.library}'s", share, "", "<=", 0.6))
        share = memory[EVERYWHERE] / memory[EQUAL]
        ratios.append(Figure.of(f"{name}, same precision and layers, share", share, ""))
    for way in reports:
        ratios += _absolute(_title(way, reports[way][0]), reports[way], size, speed[way])
    return tuple(ratios)


def step_seconds(way: Way, reports: Sequence[Training], size: Size) -> float:
    """Return the median time of the steps after the warm-up.

    Ours runs the layers below the adapters before its first step, once per text for the whole run.
    What its first step took beyond a typical one is that, and is shared out (`preparation_share`).
    What the others do before their first step (warm-up, setting up a trainer) is not counted.
    """
    typical = statistics.median(s for report in reports for s in report.seconds[size.warm_up :])
    if way.library != OURS:
        return typical
    first = statistics.median(report.seconds[0] for report in reports)
    return typical + max(0.0, first - typical) * size.share


def preparation_share(measured: Path, whole: Path, batch: int) -> float:
    """Return which share of a short run's preparation falls to each step of a default run.

    Preparation is per distinct text; a default run has more of them, and more steps to share it.
    """
    rows = gauge.rows(str(whole))
    texts = [
        len({text for row in part for text in (row["sentence1"], row["sentence2"])})
        for part in (gauge.rows(str(measured)), rows)
    ]
    return texts[1] / texts[0] / batches.steps(len(rows), batch, TrainSettings().epochs)


def _title(way: Way, report: Training) -> str:
    layers = "every layer" if way.adapters == "everywhere" else "its default layers"
    released = report.versions.get(way.library.replace("_", "-"), "")
    return f"{way.library} {released}".strip() + f", {report.precision}, {layers}"


def _absolute(title: str, reports: Sequence[Training], size: Size, speed: float) -> list[Figure]:
    step = max(report.peak_training - report.resident_before for report in reports)
    peak = max(report.peak for report in reports)
    tokens = reports[0].tokens / (size.batch * size.steps)
    return [
        Figure.of(f"{title}: pairs a second", speed, "", ">="),
        Figure.of(f"{title}: memory of a step", step / GIB, "GiB"),
        Figure.of(f"{title}: peak memory", peak / GIB, "GiB"),
        Figure.of(f"{title}: tokens run for a pair", tokens, ""),
    ]
