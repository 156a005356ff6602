"""A domain of `benchmarks._domains` through the pipeline: adapted without labels, and with gold.

The stages are those of ``angle-adapt run``, with their cache, so a measurement that is stopped goes
on where it was. Only the test items measure; they are the gold set (or the search) of the run, so
that the run's own verdict can be held against them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks._domains import Domain
from pipeline import config as configuration
from pipeline import graph
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.disk import write_atomically
from pipeline.encoder import Encoder, cosine
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap, Counts, draws
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet
from pipeline.evaluation.significance import spearmans
from pipeline.records import digest_of
from pipeline.settings import Home

DEPTH: Final = 10
TRAINED: Final = ("collect", "clean", "mine", "label", "curate", "train")
BOOTSTRAP: Final = Bootstrap(10_000, 0.95, 13)


class Gain(NamedTuple):
    """A measure of base and adapted (mean of the seeds), and the interval of their difference."""

    base: float
    adapted: float
    low: float
    high: float
    seeds: tuple[float, ...]


def configured(domain: Domain, home: Home, changes: Iterable[str] = ()) -> DomainConfig:
    """Write the domain's text and test items into ``home``, and return its configuration."""
    folder = home.root / "domains" / domain.name
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in domain.texts)
    write_atomically(folder / "text.jsonl", lines)
    write_atomically(folder / "domain.yaml", json.dumps(_file(domain, folder)))
    return configuration.load(folder / "domain.yaml", changes)


def _file(domain: Domain, folder: Path) -> dict[str, Any]:
    """Return the domain file: where text lies, what measures, and every setting at its default."""
    evaluate: dict[str, Any] = {"max_score": 1.0}
    if isinstance(domain.test, PairSet):
        write_atomically(folder / "gold.csv", _gold(domain.test))
        evaluate["gold"] = str(folder / "gold.csv")
    else:
        _write_search(domain.test, folder / "search")
        evaluate["sets"] = {domain.name.replace("_", "-"): {"path": str(folder / "search")}}
    collect = {"source": "files", "path": str(folder / "text.jsonl")}
    return {"domain": domain.name, "collect": collect, "evaluate": evaluate}


def _gold(given: PairSet) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["sentence1", "sentence2", "score", "split"])
    writer.writerows((p.sentence1, p.sentence2, p.score, "test") for p in given.pairs)
    return file.getvalue()


def _write_search(given: SearchSet, folder: Path) -> None:
    """Write a search in the layout of BEIR; a query that is a document names it."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": f"d{row}", "text": text} for row, text in enumerate(given.corpus))
    write_atomically(folder / "corpus.jsonl", "".join(json.dumps(row) + "\n" for row in corpus))
    own = given.excluded or ((),) * len(given.queries)
    queries = (
        {"_id": f"q{row}", "text": text, "self_doc_id": f"d{next(iter(hidden))}" if hidden else ""}
        for row, (text, hidden) in enumerate(zip(given.queries, own, strict=True))
    )
    write_atomically(folder / "queries.jsonl", "".join(json.dumps(row) + "\n" for row in queries))
    qrels = [
        f"q{row}\td{place}\t{grade}\n"
        for row, answers in enumerate(given.relevant)
        for place, grade in answers.items()
    ]
    header = "query-id\tcorpus-id\tscore\n"
    write_atomically(folder / "qrels" / "test.tsv", "".join([header, *qrels]))


def stages(
    config: DomainConfig, store: Store, names: Sequence[str] = TRAINED
) -> dict[str, Reference]:
    """Run the stages ``names`` or take them from the store."""
    found: dict[str, Reference] = {}
    for name in names:
        found[name] = graph.materialise(graph.STAGES[name], found, config, store).entry.reference
    return found


def with_gold(domain: Domain, config: DomainConfig, store: Store) -> Path:
    """Return the folder of a model trained on the domain's gold pairs, settings as ``config``."""
    from pipeline.training import job  # noqa: PLC0415 - imports torch

    spec = job.spec_for(config.encoder, config.train)
    given = job.job(spec, config.train, domain.gold, (), store.home)
    place = store.home.root / "ceilings" / Path(given.checkpoints).name
    if not (place / "summary.json").is_file():
        summary = job.train(given, place)
        write_atomically(place / "summary.json", json.dumps(summary))
    return place


def items(encoder: Encoder, given: EvaluationSet) -> Floats:
    """Return the cosine of every pair, or the nDCG@10 of every query; shape (items,)."""
    if isinstance(given, PairSet):
        left, right = (encoder.encode(side, "encode test pairs") for side in given.sides)
        return cosine(left, right)
    queries = encoder.encode(given.queries, "encode queries")
    scores = queries @ encoder.encode(given.corpus, "encode corpus").T
    for row, hidden in enumerate(given.excluded):
        scores[row, list(hidden)] = -np.inf
    return metrics.ndcg(metrics.best(scores, DEPTH), given.relevant, DEPTH)


def measured(name: str, encoder: Encoder, given: EvaluationSet, home: Home) -> Floats:
    """Return ``items``, kept in ``home`` under ``name``, the encoder and the texts."""
    key = digest_of(name, encoder.identity, *given.texts)
    path = home.root / "items" / f"{key}.json"
    if not path.is_file():
        write_atomically(path, json.dumps(items(encoder, given).tolist()))
    return np.array(json.loads(path.read_text(encoding="utf-8")))


def figure(given: EvaluationSet, values: Floats) -> float:
    """Return Spearman's ρ of the cosines with gold, or the mean of a search's nDCG@10."""
    return metrics.spearman(_labels(given), values) if isinstance(given, PairSet) else values.mean()


def gain(given: EvaluationSet, base: Floats, seeds: Sequence[Floats]) -> Gain:
    """Return what the seeds gain on average, with a paired bootstrap interval over the items."""
    each = tuple(float(figure(given, values)) for values in seeds)

    def difference(drawn: Counts) -> Floats:
        if isinstance(given, PairSet):
            found = spearmans(_labels(given), [base, *seeds])(drawn)
            step: Floats = found[:, 1:].mean(axis=1) - found[:, 0]
            return step
        step = drawn @ (np.mean(seeds, axis=0) - base) / len(base)
        return step

    low, high = np.quantile(draws(len(base), BOOTSTRAP, difference), [0.025, 0.975])
    return Gain(float(figure(given, base)), float(np.mean(each)), float(low), float(high), each)


def _labels(given: PairSet) -> Floats:
    return np.array([pair.score for pair in given.pairs])
