"""Whole runs, from collect to publish, on stand-ins of what teams have besides files and web sites.

GitHub is a server on the loopback interface that speaks its API, Stack Exchange a dump, Hugging
Face a folder of shards. The text is that of Python's standard library; in the data set it is that
of scientific papers where ``ANGLE_ADAPT_DATA`` names the folder that has them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import _stand_ins as stand_ins
from benchmarks._processes import Watch
from benchmarks._record import Figure, Measurement
from benchmarks._source_figures import Case, Done, judged
from pipeline.artifacts import Store
from pipeline.config import CHECKOUT
from pipeline.gold import read as read_gold
from pipeline.runs import FILE, RunRecord
from pipeline.settings import HOME_VARIABLE, Home, home
from tests.sources.github.running import RunningHub, start

CLAIM: Final = (
    "GitHub issues, a Stack Exchange dump and a Hugging Face data set each go from their source to "
    "a verdict in one command: every document and every duplicate that is there is found, what is "
    "left out has a reason, no text that measures is trained on, whole repositories stay in one "
    "split, and the same run again computes nothing."
)
SEED: Final = 13
PAPERS: Final = Path("raw_covid_papers") / "text.parquet"
TOKEN: Final = "STAND_IN_TOKEN"  # noqa: S105 - the name of a variable
TRAINED_ON, MEASURED_ON = "example/library", ("example/network", "example/tools")
SMALL: Final[dict[str, Any]] = {
    "mine": {"pairs": 240, "texts": 400, "sampler": "even"},
    "train": {"epochs": 1, "evaluations": 2},
    "evaluate": {"retrieval_texts": 200, "retrieval_queries": 100, "resamples": 2000,
                 "max_score": 1},
}  # fmt: skip
QUICK: Final[dict[str, Any]] = {
    "mine": {"pairs": 40, "texts": 60, "sampler": "even"},
    "label": {"annotators": ["char_tfidf", "frozen_encoder"]},
    "train": {"epochs": 1, "evaluations": 1},
    "evaluate": {"retrieval_texts": 40, "retrieval_queries": 20, "resamples": 500, "max_score": 1,
                 "general": ""},
}  # fmt: skip


def measure(*, quick: bool) -> Measurement:
    """Run each source twice in an empty data folder; ``quick``: GitHub alone, and less of it."""
    figures: list[Figure] = []
    begun = time.perf_counter()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        hub = stack.enter_context(start())
        for case in cases(Path(name), hub, quick=quick):
            figures += judged(case, _run(case, Path(name) / case.name))
    whole = time.perf_counter() - begun
    lasted = Figure.of("whole measurement", whole, "s", target=60 if quick else None)
    return Measurement((*figures, lasted), SEED)


def cases(folder: Path, hub: RunningHub, *, quick: bool) -> Iterator[Case]:
    """Yield the sources, each made in ``folder`` or on the server when it is asked for."""
    things = stand_ins.python_things()
    sizes = (90, 30, 30) if quick else (300, 110, 110)
    settings = QUICK if quick else SMALL
    yield _github(hub, things, sizes, settings)
    if quick:
        return
    planted = stand_ins.dump(folder / stand_ins.SITE, stand_ins.accounts(things[:600], 60))
    collect = {"source": "stack_exchange", "path": str(folder / stand_ins.SITE),
               "stack_exchange": {"min_score": -2}}  # fmt: skip
    chosen = settings | {"collect": collect}
    yield Case("stack-exchange", chosen, (), planted, len(planted.links))
    data = os.environ.get("ANGLE_ADAPT_DATA", "")
    things = stand_ins.paper_things(Path(data) / PAPERS) if data else things[-600:]
    planted = stand_ins.dataset(folder / "shards", stand_ins.accounts(things[:600], 60))
    collect = {"source": "huggingface", "path": str(folder / "shards"), "title_column": "title",
               "files": {"columns": {"name": "id", "duplicates": "duplicate_of"}}}  # fmt: skip
    yield Case("huggingface", settings | {"collect": collect}, None, planted)


def _github(
    hub: RunningHub, things: list[stand_ins.Thing], sizes: tuple[int, ...], settings: dict[str, Any]
) -> Case:
    """Return three repositories: two that measure, and one that is trained on."""
    held, planted, measured, begin = {}, stand_ins.NOTHING, 0, 0
    for name, size in zip((TRAINED_ON, *MEASURED_ON), sizes, strict=True):
        told = stand_ins.accounts(things[begin : begin + size], size // 5)
        held[name], own = stand_ins.repository(name, told)
        planted, begin = planted.plus(own), begin + size
        measured += len(own.links) * (name in MEASURED_ON)
    hub.holds(held)
    asked = {"repositories": list(held), "base_url": hub.url, "token": TOKEN}
    collect = {"source": "github", "licence": "PSF-2.0", "github": asked}
    clean = {"split_by": "group", "test_fraction": 0}
    gold = (f"collect.github.repositories=[{', '.join(MEASURED_ON)}]",)
    chosen = settings | {"collect": collect, "clean": clean}
    return Case("github", chosen, gold, planted, measured, hub.asked)


def _run(case: Case, folder: Path) -> Done:
    """Make the gold set, then run the domain twice, as its user would type it."""
    folder.mkdir()
    own = _home(folder / "home")
    domain, gold = folder / f"{case.name}.yaml", folder / "gold.csv"
    values: dict[str, Any] = {"domain": case.name} | case.settings
    program = [sys.executable, "-m", "flows.cli"]
    with Watch(CHECKOUT, _environment(own)) as watch:
        domain.write_text(yaml.safe_dump(values), encoding="utf-8")
        if case.gold is not None:
            settings = [f"--set={setting}" for setting in case.gold]
            watch.run([*program, "gold", str(domain), "-o", str(gold), *settings])
            values["evaluate"] = values["evaluate"] | {"gold": str(gold)}
            domain.write_text(yaml.safe_dump(values), encoding="utf-8")
        first = watch.run([*program, "run", str(domain)])
        before = len(case.asked())
        second = watch.run([*program, "run", str(domain)])
    fetched = sum(one["bytes"] > 0 for one in case.asked()[before:])
    pairs = [] if case.gold is None else read_gold(gold, values["evaluate"]["max_score"])
    return Done(first, second, _records(own), Store(own), pairs, fetched)


def _home(root: Path) -> Home:
    """Return an empty data folder that shares the converted backbone."""
    backbones = home().backbones
    backbones.mkdir(parents=True, exist_ok=True)
    root.mkdir()
    (root / "backbones").symlink_to(backbones, target_is_directory=True)
    return Home(root)


def _environment(own: Home) -> dict[str, str]:
    """Return an environment with its own data folder, no other Prefect and no GPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {HOME_VARIABLE: str(own.root), TOKEN: "good", "CUDA_VISIBLE_DEVICES": ""}


def _records(own: Home) -> tuple[RunRecord, RunRecord]:
    texts = [path.read_text(encoding="utf-8") for path in own.runs.glob(f"*/{FILE}")]
    first, second = sorted(
        (RunRecord.model_validate_json(text) for text in texts), key=lambda record: record.started
    )
    return first, second
