"""Everything a report says, as plain data: what ``report.json`` holds and ``report.html`` shows."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.artifacts import Reference, Store
from pipeline.errors import ArtifactError
from pipeline.export import advice, gold_view, label_view, parts_view, score_view

if TYPE_CHECKING:
    from pipeline.runs import RunRecord

log = logging.getLogger(__name__)

FIGURES: Final = (
    "base", "adapted", "difference", "low", "high", "p", "p_holm", "minimum_detectable",
)  # fmt: skip
FIRST: Final = " 1"  # ends the names of the steps of a first round, as in pipeline.graph

Summaries = Mapping[str, dict[str, Any]]
T = TypeVar("T")


def gather(
    run: RunRecord,
    references: Mapping[str, Reference],
    store: Store,
    learning: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of a report; what a run did not reach is left empty.

    ``learning`` is the learning curve of the run's model, where one was measured.
    """
    read = {name: _read(store.json, reference) for name, reference in references.items()}
    summaries = {name: found for name, found in read.items() if found}
    data: dict[str, Any] = _finite({
        "run": run.model_dump(mode="json", include=set(_RUN)),
        "description": run.config.get("description", ""),
        **_measured(run, summaries, _rows(references.get("evaluate"), store), learning or {}),
        "funnel": _funnel(summaries),
        "mined": summaries.get("mine", {}).get("coverage", {}),
        "rounds": _rounds(summaries),
        "labels": label_view.labels(summaries),
        "cost": label_view.cost(summaries) | {
            "waited": sum(stage.waited for stage in run.stages),
            "computed": sum(stage.seconds for stage in run.stages),
        },
        "examples": label_view.examples(_rows(references.get("curate"), store)),
        "training": summaries.get("train", {}),
        "learning": learning or {},
        "stages": [
            stage.model_dump(mode="json") | {"size": _size(references.get(stage.stage), store)}
            for stage in run.stages
        ],
        "collected": summaries.get("collect", {}),
        "settings": _settings(run.config),
        "versions": {**run.versions, **summaries.get("train", {}).get("versions", {})},
        "seeds": run.seeds,
    })  # fmt: skip
    return data | {"contents": _contents(data)}


def _measured(
    run: RunRecord,
    summaries: Summaries,
    pairs: list[dict[str, Any]],
    learning: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that follows from the evaluation."""
    evaluation, training = summaries.get("evaluate", {}), summaries.get("train", {})
    sets, changes = evaluation.get("sets", ()), evaluation.get("changes", {})
    gold = gold_view.view(pairs)
    return {
        "verdict": _verdict(run, evaluation, gold["right"], learning),
        "comparisons": comparisons(evaluation),
        "others": _others(evaluation),
        "evaluation": evaluation,
        "forgetting": advice.forgetting(sets),
        "strength": evaluation.get("strength", {}),
        "scores": score_view.scores(changes, pairs),
        "saturation": score_view.saturation(changes, training),
        "parts": parts_view.parts(evaluation),
        "gold": gold,
    }


_RUN: Final = ("id", "domain", "started", "finished", "status", "error")


def _read(load: Callable[[Reference], T], reference: Reference) -> T | None:
    """Return what ``load`` finds behind ``reference``; None when it is missing or damaged."""
    try:
        return load(reference)
    except (ArtifactError, OSError, json.JSONDecodeError) as error:
        log.warning("left out of the report: %s", error)
        return None


def _rows(reference: Reference | None, store: Store) -> list[dict[str, Any]]:
    if reference is None:
        return []
    table = _read(store.table, reference)
    return [] if table is None else list(table.to_pylist())


def _size(reference: Reference | None, store: Store) -> int | None:
    """Return the bytes of an artefact; None when it is gone."""
    try:
        found = [] if reference is None else list(store.path(reference).rglob("*"))
        return sum(path.stat().st_size for path in found if path.is_file()) if found else None
    except (ArtifactError, OSError):  # it is told where its content is read
        return None


def _verdict(
    run: RunRecord,
    evaluation: Mapping[str, Any],
    right: Mapping[str, float],
    learning: Mapping[str, Any],
) -> dict[str, Any]:
    word = evaluation.get("verdict") or run.verdict or run.status
    return {
        "word": word,
        "headline": advice.headline(word, evaluation),
        "means": advice.means(word, evaluation, right),
        "next": advice.steps(word, evaluation, run.id, learning),
        "reasons": [*evaluation.get("reasons", ()), *([run.error] if run.error else ())],
        "notes": list(evaluation.get("notes", ())),
    }


def comparisons(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a measure of a set: base, adapted, difference, interval, references.

    ``first`` is the measure that the verdict looks at; the others of a set follow it.
    """
    labels, rows = evaluation.get("labels", {}), []
    for one in evaluation.get("sets", ()):
        for measure, found in ({one["measure"]: one["found"]} | one["further"]).items():
            first = measure == one["measure"]
            rows.append(
                {name: one[name] for name in ("name", "role", "about", "allowed_loss")}
                | {"measure": labels.get(measure, measure), "first": first}
                | {name: found.get(name) for name in FIGURES}
                | {"references": one["references"] if first else {}}
            )
        for measure, point in one["points"].items():
            base, adapted = point  # a pair, as JSON has it
            rows.append(
                {name: one[name] for name in ("name", "role", "about", "allowed_loss")}
                | {"measure": labels.get(measure, measure), "first": False, "references": {}}
                | dict.fromkeys(FIGURES)
                | {"base": base, "adapted": adapted, "difference": adapted - base}
            )
    return rows


def _others(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each set and other model that adapted was compared with."""
    labels = evaluation.get("labels", {})
    return [
        {"name": one["name"], "other": name, "measure": labels.get(one["measure"], one["measure"])}
        | {figure: found.get(figure) for figure in FIGURES}
        for one in evaluation.get("sets", ())
        for name, found in one["others"].items()
    ]


def _rounds(summaries: Summaries) -> dict[str, Any]:
    """Return what the second round gained: each measure for base, first round and second."""
    ends = {when: f"evaluate{end}" for when, end in (("first", FIRST), ("second", ""))}
    if not all(name in summaries for name in ends.values()):
        return {}
    first, second = (comparisons(summaries[name]) for name in ends.values())
    measures = [
        {"measure": two["measure"], "about": f"{two['name']}, {two['about']}", "base": two["base"],
         "first": one["adapted"], "second": two["adapted"]}
        for one, two in zip(first, second, strict=False)
        if two["first"]
    ]  # fmt: skip
    trained = [summaries.get(f"train{end}", {}) for end in (FIRST, "")]
    if all(train.get("best_dev") is not None for train in trained):
        measures.insert(0, {
            "measure": "Spearman's ρ", "about": "gold dev pairs", "base": trained[1]["base_dev"],
            "first": trained[0]["best_dev"], "second": trained[1]["best_dev"],
        })  # fmt: skip
    gained = [row | {"gained": row["second"] - row["first"]} for row in measures]
    return {"pairs": [train.get("pairs") for train in trained], "measures": gained}


def _funnel(summaries: Summaries) -> list[dict[str, Any]]:
    """Return what each stage was given, passed on and dropped, with every reason."""
    collect, clean, mine, curate, train = (
        summaries.get(name, {}) for name in ("collect", "clean", "mine", "curate", "train")
    )
    found = collect.get("documents", 0) + sum(collect.get("dropped", {}).values())
    mined = mine.get("pairs", 0) + sum(mine.get("dropped", {}).values())
    written = summaries.get("label", {}).get("generated", {})
    steps = [
        ("collect", "documents", found, collect.get("documents"), collect.get("dropped", {}),
         collect.get("licences", {})),
        ("clean", "documents", clean.get("chunks", clean.get("in")), clean.get("kept"),
         clean.get("dropped", {}), clean.get("splits", {})),
        ("mine", "pairs", mined, mine.get("pairs"), mine.get("dropped", {}),
         mine.get("strategies", {})),
        ("label", "variants", written.get("in"), written.get("kept"), written.get("dropped", {}),
         written.get("strategies", {})),
        ("curate", "pairs", curate.get("in"), curate.get("kept"), curate.get("dropped", {}), {}),
        ("train", "pairs", curate.get("kept"), train.get("pairs"), {}, {}),
    ]  # fmt: skip
    names = ("stage", "unit", "in", "out")
    return [
        dict(zip(names, step[:4], strict=True))
        | {"dropped": _largest_first(step[4]), "parts": _largest_first(step[5])}
        for step in steps
        if step[0] in summaries and (step[0] != "label" or written)
    ]


def _largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings by section; those outside a section under "domain"."""
    sections = {name: dict(value) for name, value in config.items() if isinstance(value, Mapping)}
    single = {name: value for name, value in config.items() if not isinstance(value, Mapping)}
    return {"domain": single, **sections} if single else sections


def _contents(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the parts that a report has, in order: the id of each, and its title."""
    evaluation, labels = data["evaluation"], data["labels"]
    parts = (
        ("sets", "Base against adapted", data["comparisons"]),
        ("forgetting", "What was not to be forgotten", evaluation.get("sets")),
        ("scores", "Scores and thresholds", data["scores"]),
        ("saturation", "Saturation", data["saturation"]),
        ("moved", "Pairs that moved most", data["gold"]["towards"] or data["gold"]["away"]),
        ("rounds", "What the second round gained", data["rounds"]),
        ("funnel", "From text to training pairs", data["funnel"]),
        ("mined", "Mined pairs", data["mined"]),
        ("labels", "Labels",
         labels["histogram"] or labels["agreement"] or labels["annotators"]),
        ("examples", "Labelled pairs over the range", data["examples"]),
        ("training", "Training", data["training"]),
        ("learning", "What more labels would bring", data["learning"]),
        ("time", "Time and cost", data["stages"]),
        ("repeat", "To repeat this run", data["settings"] or data["versions"] or data["stages"]),
    )  # fmt: skip
    return [{"id": name, "title": title} for name, title, found in parts if found]


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Return ``value`` with every number that JSON cannot hold replaced by null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
