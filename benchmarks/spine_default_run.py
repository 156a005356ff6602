"""The default run: how long it takes, how much memory, and what it is good for."""

from __future__ import annotations

import csv
import logging
import os
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._processes import Cost, Watch
from benchmarks._record import Figure, Measurement
from pipeline import config as configuration
from pipeline.config import CHECKOUT
from pipeline.errors import ResourceError
from pipeline.graph import STAGES
from pipeline.runs import FILE, RunRecord
from pipeline.settings import HOME_VARIABLE, Home

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two CPU cores without a GPU, the default domain is adapted from text to verdict within "
    "10 minutes and 4 GiB, in an empty data folder; the same run again ends within 10 seconds, "
    "and the command line answers within one."
)
DOMAIN: Final = "data/domains/python-stdlib.yaml"
CORES: Final = 2
GIB: Final = 2**30
COMPARED: Final = ("base", "adapted", "difference")
QUICK_SECONDS: Final = 60.0
QUICK_GOLD: Final = {"dev": 30, "test": 60}
QUICK: Final = (
    "mine.pairs=60", "mine.texts=120", "train.epochs=1", "train.evaluations=1",
    "evaluate.retrieval_texts=100", "evaluate.retrieval_queries=50", "evaluate.resamples=1000",
)  # fmt: skip


class Seen(NamedTuple):
    """All that was observed of one measurement."""

    help: float
    first: Cost
    second: Cost
    records: tuple[RunRecord, RunRecord]


def measure(*, quick: bool) -> Measurement:
    """Run the default domain twice in a data folder of its own, as a user would."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, _on_cores(CORES):
        settings = changed(Path(name), quick=quick)
        seen = _observe(Path(name), [f"--set={setting}" for setting in settings])
    whole = time.perf_counter() - start
    limit = QUICK_SECONDS if quick else None
    lasted = Figure.of("whole measurement", whole, "s", target=limit)
    return Measurement((*figures(seen), lasted), seen.records[0].seeds["train"])


def figures(seen: Seen) -> tuple[Figure, ...]:
    """Return what was observed as figures: first those with a target."""
    return (*_targets(seen), *_stages(seen), *_quality(seen.records[0].evaluation))


def _observe(folder: Path, settings: list[str]) -> Seen:
    home = Home(folder / "home")
    program = _program()
    with Watch(CHECKOUT, _environment(home)) as watch:
        log.info("1/3 angle-adapt --help, 5 times")
        help_seconds = watch.median_seconds([program, "--help"], times=5)
        log.info("2/3 angle-adapt run, in an empty data folder")
        first = watch.run([program, "run", DOMAIN, *settings])
        log.info("3/3 angle-adapt run, unchanged")
        second = watch.run([program, "run", DOMAIN, *settings])
    return Seen(help_seconds, first, second, _records(home))


def _targets(seen: Seen) -> list[Figure]:
    first, second = seen.first, seen.second
    cached = sum(stage.cached for stage in seen.records[1].stages)
    return [
        Figure.of("default run, end to end", first.seconds, "s", target=600),
        Figure.of("peak memory of the run", first.memory / GIB, "GiB", target=4),
        Figure.of("unchanged second run", second.seconds, "s", target=10),
        Figure.of("stages cached in the second run", cached, "stages", ">=", len(STAGES)),
        Figure.of("angle-adapt --help, median of 5", seen.help, "s", target=1),
        Figure.of("peak memory of the Prefect server", first.detached_memory / GIB, "GiB"),
    ]


def _stages(seen: Seen) -> list[Figure]:
    stages = seen.records[0].stages
    outside = seen.first.seconds - sum(stage.waited for stage in stages)
    return [
        *(Figure.of(f"stage {stage.stage}", stage.waited, "s") for stage in stages),
        Figure.of("outside the stages (start, server, report)", outside, "s"),
    ]


def _quality(evaluation: Mapping[str, Any]) -> list[Figure]:
    found = {row["name"]: row["found"] for row in evaluation.get("sets", ())}
    gold = _scores("Spearman's ρ", found.get("gold"), *COMPARED, "low", "high")
    return [*gold, *_scores("nDCG@10", found.get("held-out text"), *COMPARED)]


def _scores(score: str, found: Mapping[str, Any] | None, *keys: str) -> list[Figure]:
    values = {f"{score}, {key}": (found or {}).get(key) for key in keys}
    return [Figure.of(name, x, "", ">=") for name, x in values.items() if x is not None]


def _program() -> str:
    program = Path(sysconfig.get_path("scripts")) / "angle-adapt"
    if not program.is_file():
        message = f"{program} is not there: install the project with `make install`"
        raise ResourceError(message)
    return str(program)


def _environment(home: Home) -> dict[str, str]:
    """Return an environment with an empty data folder, no other Prefect and no GPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {HOME_VARIABLE: str(home.root), "CUDA_VISIBLE_DEVICES": ""}


def changed(folder: Path, *, quick: bool) -> list[str]:
    """Return the settings that make the run a quick one; none for the real one."""
    if not quick:
        return []
    place = folder / "gold.csv"
    config = configuration.load(configuration.resolve(DOMAIN))
    _write_few(configuration.resolve(config.evaluate.gold), place)
    return [*QUICK, f"evaluate.gold={place}"]


def _write_few(gold: Path, place: Path) -> None:
    with gold.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    few = [
        row
        for split, number in QUICK_GOLD.items()
        for row in [row for row in rows if row["split"] == split][:number]
    ]
    with place.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(few)


def _records(home: Home) -> tuple[RunRecord, RunRecord]:
    texts = [path.read_text(encoding="utf-8") for path in home.runs.glob(f"*/{FILE}")]
    first, second = sorted(
        (RunRecord.model_validate_json(text) for text in texts), key=lambda record: record.started
    )
    return first, second


@contextmanager
def _on_cores(number: int) -> Iterator[None]:
    """Keep this process and those it starts to ``number`` cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
