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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from benchmarks import _stand_ins as stand_ins
from benchmarks._processes import Cost, Watch
from benchmarks._record import Figure, Measurement
from benchmarks._stand_ins import Planted
from pipeline.artifacts import Reference, Store
from pipeline.config import CHECKOUT
from pipeline.gold import GoldPair
from pipeline.gold import read as read_gold
from pipeline.graph import STAGES
from pipeline.records import Document, LabeledPair, Pair
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
VERDICTS: Final = ("ship", "inconclusive", "regress")
SERIOUS: Final = ("document", "exact", "near_duplicate")
SMALL: Final[dict[str, Any]] = {
    "mine": {"pairs": 240, "texts": 500, "sampler": "even"},
    "train": {"epochs": 1, "evaluations": 2},
    "evaluate": {"retrieval_texts": 300, "retrieval_queries": 100, "resamples": 2000,
                 "max_score": 1},
}  # fmt: skip
QUICK: Final[dict[str, Any]] = {
    "mine": {"pairs": 60, "texts": 120, "sampler": "even"},
    "train": {"epochs": 1, "evaluations": 1},
    "evaluate": {"retrieval_texts": 100, "retrieval_queries": 40, "resamples": 500, "max_score": 1,
                 "general": ""},
}  # fmt: skip


class Case(NamedTuple):
    """A source, the part of it that becomes a gold set, and what was put into it."""

    name: str
    settings: dict[str, Any]
    gold: tuple[str, ...] | None  # the settings of `angle-adapt gold`; None: no gold set is made
    planted: Planted
    measured: int = 0  # duplicates in that part
    asked: Callable[[], list[dict[str, Any]]] = list


class Done(NamedTuple):
    """What two runs of a case cost and left."""

    first: Cost
    second: Cost
    records: tuple[RunRecord, RunRecord]
    store: Store
    gold: list[GoldPair]
    fetched: int  # bodies that the second run fetched


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
    sizes = (120, 40, 40) if quick else (300, 110, 110)
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


def judged(case: Case, done: Done) -> list[Figure]:
    """Return what came of a case: that it ended, what it found, and what it kept apart."""
    references = _references(done)
    figures = [
        *_ended(done),
        *_collected(case.planted, done.store, references["collect"]),
        *_cleaned(done.store, references),
        *_used(case, done, references),
        *_kept_apart(done, references),
    ]
    return [figure.model_copy(update={"name": f"{case.name}: {figure.name}"}) for figure in figures]


def _references(done: Done) -> dict[str, Reference]:
    entries = {stage.stage: done.store.lookup(stage.key) for stage in done.records[0].stages}
    return {name: entry.reference for name, entry in entries.items() if entry}


def _ended(done: Done) -> list[Figure]:
    first, second = done.records
    reached = first.status == "completed" and first.verdict in VERDICTS
    cached = sum(stage.cached for stage in second.stages)
    return [
        Figure.of("run, end to end", done.first.seconds, "s"),
        Figure.of("stages that ended", len(first.stages), "", ">=", len(STAGES)),
        Figure.of(f"runs with a verdict ({first.verdict or 'none'})", reached, "", ">=", 1),
        Figure.of("the same run again", done.second.seconds, "s"),
        Figure.of("stages cached in it", cached, "", ">=", len(STAGES)),
        Figure.of("bodies fetched in it", done.fetched, "", "<=", 0),
    ]


def _collected(planted: Planted, store: Store, reference: Reference) -> list[Figure]:
    documents = store.rows(reference, Document)
    summary = store.json(reference)
    names = Counter(document.name for document in documents)
    wrong = (names - Counter(planted.names)) + (Counter(planted.names) - names)
    found = {
        (document.name, other)
        for document in documents
        for other in document.duplicates.splitlines()
    }
    left = Counter(summary["dropped"])
    unplanned = (left - Counter(planted.left_out)) + (Counter(planted.left_out) - left)
    return [
        Figure.of("documents collected", len(documents), ""),
        Figure.of("documents lost or invented", wrong.total(), "", "<=", 0),
        *(Figure.of(f"not collected, {reason}", count, "") for reason, count in left.items()),
        Figure.of("left out or taken against what was planned", unplanned.total(), "", "<=", 0),
        Figure.of("duplicates that the source names", len(found), ""),
        Figure.of("duplicates lost or invented", len(found ^ planted.links), "", "<=", 0),
    ]


def _cleaned(store: Store, references: Mapping[str, Reference]) -> list[Figure]:
    summary = store.json(references["clean"])
    lost = abs(summary["in"] - references["collect"].rows)
    unexplained = abs(summary["chunks"] - summary["kept"] - sum(summary["dropped"].values()))
    return [
        *(Figure.of(f"dropped, {reason}", n, "") for reason, n in summary["dropped"].items()),
        Figure.of("personal data masked", sum(summary["masked"].values()), ""),
        Figure.of("documents kept", summary["kept"], ""),
        Figure.of("documents without a reason", lost + unexplained, "", "<=", 0),
    ]


def _used(case: Case, done: Done, references: Mapping[str, Reference]) -> list[Figure]:
    """Return what became of the source's duplicates: gold pairs, or pairs that are trained on."""
    pairs = done.store.rows(references["mine"], Pair)
    where = {one.name: split for split, all_ in _by_split(done, references).items() for one in all_}
    sides = [{where[name] for name in link if name in where} for link in case.planted.links]
    kept = [side for side, link in zip(sides, case.planted.links, strict=True)
            if all(name in where for name in link)]  # fmt: skip
    within = kept.count({"train"})
    mined = sum(pair.strategy == "source_duplicates" for pair in pairs)
    return [
        Figure.of(
            "duplicates torn apart by the split", sum(len(s) > 1 for s in sides), "", "<=", 0
        ),
        Figure.of("pairs mined", len(pairs), ""),
        Figure.of("duplicates among documents to train on", within, ""),
        Figure.of("of them in mined pairs", mined, "", ">=", min(1, within)),
        *_measured(case, done),
    ]


def _measured(case: Case, done: Done) -> list[Figure]:
    """Return what of the gold set, if one was made, the verdict rests on."""
    if not done.gold:
        return []
    same = sum(pair.score == 1 for pair in done.gold)
    test = sum(pair.split == "test" for pair in done.gold)
    sets = {row["name"]: row["items"] for row in done.records[0].evaluation["sets"]}
    return [
        Figure.of("gold pairs", len(done.gold), ""),
        Figure.of("of them duplicates", same, "", ">=", case.measured),
        Figure.of("gold pairs that the verdict rests on", sets.get("gold", 0), "", ">=", test),
    ]


def _kept_apart(done: Done, references: Mapping[str, Reference]) -> list[Figure]:
    splits = _by_split(done, references)
    held_out = {document.id for name in ("dev", "test") for document in splits[name]}
    trained = done.store.rows(references["curate"], LabeledPair)
    crossing = sum(bool({pair.document1, pair.document2} & held_out) for pair in trained)
    report = done.records[0].evaluation["leakage"]["found"]
    leaked = sum(report[check] for check in SERIOUS)
    return [
        *_groups(splits),
        Figure.of("pairs trained on", len(trained), ""),
        Figure.of("of them with a held-out document", crossing, "", "<=", 0),
        Figure.of("texts in the leakage report", leaked, "", "<=", 0),
    ]


def _groups(splits: Mapping[str, list[Document]]) -> list[Figure]:
    """Return how the documents of each split divide over repositories, where there are several."""
    counted = Counter(
        (document.group, split) for split, documents in splits.items() for document in documents
    )
    groups = Counter(group for group, _ in counted if group)
    shown = sorted(counted.items()) if len(groups) > 1 else []
    rows = [Figure.of(f"{split}, {group or 'all'}", n, "") for (group, split), n in shown]
    if not rows:
        return [Figure.of(f"{split}, all", len(found), "") for split, found in splits.items()]
    torn = sum(number > 1 for number in groups.values())
    return [*rows, Figure.of("repositories in several splits", torn, "", "<=", 0)]


def _by_split(done: Done, references: Mapping[str, Reference]) -> dict[str, list[Document]]:
    corpus = done.store.rows(references["clean"], Document)
    return {
        split: [document for document in corpus if document.split == split]
        for split in ("train", "dev", "test")
    }
