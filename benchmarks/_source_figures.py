"""What a whole run of a source came to, as figures: that it ended, found all, kept things apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from benchmarks._processes import Cost
from benchmarks._record import Figure
from benchmarks._stand_ins import Planted
from pipeline.artifacts import Reference, Store
from pipeline.gold import GoldPair
from pipeline.graph import STAGES
from pipeline.records import Document, LabeledPair, Pair
from pipeline.runs import RunRecord

VERDICTS: Final = ("ship", "inconclusive", "regress")
SERIOUS: Final = ("document", "exact", "near_duplicate")


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


def judged(case: Case, done: Done) -> list[Figure]:
    """Return what came of a case: that it ended, what it found, and what it kept apart."""
    references = _references(done)
    figures = [
        *_ended(done),
        *collected(case.planted, done.store, references["collect"]),
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


def collected(planted: Planted, store: Store, reference: Reference) -> list[Figure]:
    """Return what of a source was collected, held against what was put into it."""
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
        Figure.of("of them in mined pairs", mined, "", ">=", 1 if within else None),
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
