"""Everything a report says, as plain data: what ``report.json`` holds and ``report.html`` shows."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.artifacts import Reference, Store
from pipeline.errors import ArtifactError
from pipeline.export import gold_view
from pipeline.records import digest_of

if TYPE_CHECKING:
    from pipeline.runs import RunRecord

log = logging.getLogger(__name__)

HEADLINES: Final = {
    "ship": "The adapted model is measurably better on this domain.",
    "inconclusive": "The figures do not settle whether the adapted model is better.",
    "regress": "The adapted model is measurably worse on this domain.",
    "failed": "The run failed before there was a verdict.",
    "interrupted": "The run was interrupted before there was a verdict.",
    "running": "The run has not come to a verdict yet.",
    "completed": "The run ended without a verdict.",
}
MEASURES: Final = {"ndcg@10": "nDCG@10", "mrr@10": "MRR@10"}
FIFTHS: Final = 5
FIRST: Final = " 1"  # ends the names of the steps of a first round, as in pipeline.graph
EXAMPLES: Final = 2

Summaries = Mapping[str, dict[str, Any]]
T = TypeVar("T")


def gather(run: RunRecord, references: Mapping[str, Reference], store: Store) -> dict[str, Any]:
    """Return the content of a report; what a run did not reach is left empty."""
    read = {name: _read(store.json, reference) for name, reference in references.items()}
    summaries = {name: found for name, found in read.items() if found}
    evaluation = summaries.get("evaluate", {})
    pairs = _rows(references.get("evaluate"), store)
    data: dict[str, Any] = _finite({
        "run": run.model_dump(mode="json", include=set(_RUN)),
        "description": run.config.get("description", ""),
        "verdict": _verdict(run, evaluation),
        "comparisons": _comparisons(evaluation),
        "evaluation": evaluation,
        "funnel": _funnel(summaries),
        "mined": summaries.get("mine", {}).get("coverage", {}),
        "rounds": _rounds(summaries),
        "labels": _labels(summaries),
        "examples": _examples(_rows(references.get("curate"), store)),
        "training": summaries.get("train", {}),
        "gold": gold_view.view(pairs),
        "stages": [stage.model_dump(mode="json") for stage in run.stages],
        "settings": _settings(run.config),
        "versions": {**run.versions, **summaries.get("train", {}).get("versions", {})},
        "seeds": run.seeds,
    })  # fmt: skip
    return data


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


def _verdict(run: RunRecord, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    word = evaluation.get("verdict") or run.verdict or run.status
    return {
        "word": word,
        "headline": HEADLINES.get(word, ""),
        "reasons": [*evaluation.get("reasons", ()), *([run.error] if run.error else ())],
        "notes": list(evaluation.get("notes", ())),
    }


def _comparisons(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a measure: base, adapted, difference, interval, and an outside reference."""
    outside = evaluation.get("references", {}).get("char_tfidf", {})
    gold, retrieval = evaluation.get("gold"), evaluation.get("retrieval", {})
    rows = []
    if gold:
        about = f"{gold['pairs']:,} gold pairs"
        rows.append({"measure": "Spearman's ρ", "about": about, "char_tfidf": outside.get("gold")}
                    | _figures(gold))  # fmt: skip
    for key, name in MEASURES.items():
        if key in retrieval:
            about = f"{retrieval['queries']:,} queries, {retrieval['texts']:,} texts"
            rows.append({"measure": name, "about": about, "char_tfidf": outside.get(key)}
                        | _figures(retrieval[key]))  # fmt: skip
    return rows


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("base", "adapted", "difference", "low", "high", "minimum_detectable")
    return {name: found.get(name) for name in names}


def _rounds(summaries: Summaries) -> dict[str, Any]:
    """Return what the second round gained: each measure for base, first round and second."""
    ends = {when: f"evaluate{end}" for when, end in (("first", FIRST), ("second", ""))}
    if not all(name in summaries for name in ends.values()):
        return {}
    first, second = (_comparisons(summaries[name]) for name in ends.values())
    measures = [
        {"measure": two["measure"], "about": two["about"], "base": two["base"],
         "first": one["adapted"], "second": two["adapted"]}
        for one, two in zip(first, second, strict=False)
    ]  # fmt: skip
    trained = [summaries.get(f"train{end}", {}) for end in (FIRST, "")]
    if all(train.get("best_dev") is not None for train in trained):
        measures.insert(0, {
            "measure": "Spearman's ρ", "about": "gold dev pairs", "base": trained[1]["base_dev"],
            "first": trained[0]["best_dev"], "second": trained[1]["best_dev"],
        })  # fmt: skip
    return {"pairs": [train.get("pairs") for train in trained], "measures": measures}


def _funnel(summaries: Summaries) -> list[dict[str, Any]]:
    """Return what each stage was given, passed on and dropped, with every reason."""
    collect, clean, mine, curate, train = (
        summaries.get(name, {}) for name in ("collect", "clean", "mine", "curate", "train")
    )
    mined = mine.get("pairs", 0) + sum(mine.get("dropped", {}).values())
    written = summaries.get("label", {}).get("generated", {})
    steps = [
        ("collect", "documents", collect.get("documents"), collect.get("documents"), {},
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


def _labels(summaries: Summaries) -> dict[str, Any]:
    """Return what curate found, the combination of the annotators after the annotators."""
    curate = summaries.get("curate", {})
    empty: dict[str, Any] = {
        "histogram": [], "agreement": {}, "between": [], "by_strategy": {}, "combine": "blend",
        "krippendorff": {}, "calibration": {}, "disagreements": {},
    }  # fmt: skip
    found = {name: curate.get(name, default) for name, default in empty.items()}
    combined = found["combine"]
    found["agreement"] = {
        name: row | _errors(name, found["calibration"], combined=name == combined)
        for name, row in sorted(
            found["agreement"].items(), key=lambda item: (item[0] == combined, item[0])
        )
    }
    label = summaries.get("label", {})
    return found | {name: label.get(name, {}) for name in ("annotators", "generated")}


def _errors(name: str, calibration: Mapping[str, Any], *, combined: bool) -> dict[str, Any]:
    """Return the mean absolute error on gold pairs before and after calibration, where known."""
    both = calibration.get("annotators", {}).get(name, {})
    after = calibration.get("labels", {}) if combined else both.get("after", {})
    before = {} if combined else both.get("before", {})
    return {"mae_before": before.get("mae"), "mae_after": after.get("mae")}


def _examples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return labelled pairs from each fifth of the range, highest first; chosen by their ids."""
    fifths: list[list[dict[str, Any]]] = [[] for _ in range(FIFTHS)]
    for row in sorted(rows, key=lambda row: digest_of(row["id"])):
        fifth = fifths[min(int(row["score"] * FIFTHS), FIFTHS - 1)]
        if len(fifth) < EXAMPLES:
            fifth.append(row)
    chosen = [row for fifth in fifths for row in fifth]
    kept = ("sentence1", "sentence2", "score", "strategy", "name1", "name2")
    ordered = sorted(chosen, key=lambda row: -row["score"])
    return [{name: row.get(name, "") for name in kept} for row in ordered]


def _settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings by section; those outside a section under "domain"."""
    sections = {name: dict(value) for name, value in config.items() if isinstance(value, Mapping)}
    single = {name: value for name, value in config.items() if not isinstance(value, Mapping)}
    return {"domain": single, **sections} if single else sections


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Return ``value`` with every number that JSON cannot hold replaced by null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
