"""Real domains that results are shown on: their text, what measures a model, and gold to train on.

The sets are folders in the one that ``ANGLE_ADAPT_DATA`` names: ``pairs.parquet`` (text1, text2,
label in [0, 1], split), ``items.parquet`` (text, label_name, split), ``corpus.parquet``,
``queries.parquet`` and ``qrels.parquet``, or ``text.parquet``. What chooses settings (``dev``) and
what is reported (``test``) have no pair or query in common; the labels of neither are ever trained
on, except that where a set has one labelled part alone, a model trained on the gold of ``dev`` is
the ceiling for ``test``. A published split is kept; what comes in one part is halved by a hash.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline import registered
from pipeline.errors import ResourceError
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet, SetPair
from pipeline.records import digest_of

DATA: Final = "ANGLE_ADAPT_DATA"
GOLD_PAIRS: Final = 3_000  # that a ceiling is trained on, at most

Row = dict[str, Any]


class Domain(NamedTuple):
    """A domain without labels of its own, and the gold that tells how good a model is there."""

    name: str
    texts: tuple[str, ...]
    dev: EvaluationSet
    test: EvaluationSet
    gold: tuple[SetPair, ...]  # what the ceiling is trained on; no pair of `test` is in it


def load(name: str) -> Domain:
    """Return a domain by its name, its text without what measures.

    Raises:
        ResourceError: when the folder with its set is not there; says how to name it.
    """
    found = DOMAINS[name]()
    measured = {text for given in (found.dev, found.test) for text in _asked(given)}
    return found._replace(texts=tuple(text for text in found.texts if text not in measured))


def _asked(given: EvaluationSet) -> Iterable[str]:
    """Return the texts of the pairs or the queries; a corpus may be trained on."""
    return given.texts if isinstance(given, PairSet) else given.queries


def _rows(name: str, table: str) -> list[Row]:
    folder = os.environ.get(DATA, "")
    path = Path(folder) / name / f"{table}.parquet"
    if not folder or not path.is_file():
        message = f"{path} is not there: name the folder with the evaluation sets in {DATA}"
        raise ResourceError(message)
    return [dict(row) for row in registered.READERS[".parquet"](path)]


def _share(*parts: str) -> float:
    """Return a number in [0, 1) that depends on ``parts`` alone."""
    return int(digest_of("domain", *parts), 16) / 16**16


def _texts(rows: Iterable[Row], most: int = 12_000) -> tuple[str, ...]:
    """Return at most ``most`` texts, each once, by their hash."""
    unique = dict.fromkeys(str(row["text"]).strip() for row in rows)
    return tuple(sorted((text for text in unique if text), key=_share)[:most])


def _pair(row: Row) -> SetPair:
    return SetPair(str(row["text1"]), str(row["text2"]), float(row["label"]))


def _set(name: str, pairs: Iterable[SetPair]) -> PairSet:
    rows = tuple(pairs)
    graded = {pair.score for pair in rows} != {0.0, 1.0}
    return PairSet(name, "domain", "graded" if graded else "binary", rows)


def _halves(name: str, pairs: Iterable[SetPair]) -> tuple[PairSet, PairSet]:
    """Return dev and test: the pairs by a hash of their first text."""
    rows = list(pairs)
    first = [pair for pair in rows if _share("half", pair.sentence1) < 0.5]
    return _set(name, first), _set(name, (pair for pair in rows if pair not in set(first)))


def _clear_of(pairs: Iterable[SetPair], test: EvaluationSet) -> tuple[SetPair, ...]:
    """Return pairs without a text of ``test``, by their hash, as many as a ceiling needs."""
    measured = set(test.texts)
    clear = (p for p in pairs if p.sentence1 not in measured and p.sentence2 not in measured)
    return tuple(sorted(clear, key=lambda p: _share(p.sentence1, p.sentence2))[:GOLD_PAIRS])


def _stsb() -> Domain:
    rows = _rows("stsb", "pairs")
    split = {name: [_pair(r) for r in rows if r["split"] == name] for name in _SPLITS}
    texts = ({"text": text} for p in split["train"] for text in p[:2])
    dev, test = _set("stsb", split["dev"]), _set("stsb", split["test"])
    return Domain("stsb", _texts(texts), dev, test, _clear_of(split["train"], test))


def _patent_phrase() -> Domain:
    rows = _rows("patent_phrase", "pairs")
    train = [_pair(row) for row in rows if row["split"] == "train"]
    dev, test = _halves("patent_phrase", (_pair(r) for r in rows if r["split"] == "dev"))
    texts = ({"text": text} for p in train for text in p[:2])
    return Domain("patent_phrase", _texts(texts), dev, test, _clear_of(train, test))


def _banking77() -> Domain:
    """Half of the items give text; pairs of the other half measure."""
    items = _rows("banking77", "items")
    own = [row for row in items if _share(str(row["text"])) < 0.5]
    known = {str(row["text"]) for row in own}
    pairs = [_pair(row) for row in _rows("banking77", "pairs")]
    held = (p for p in pairs if p.sentence1 not in known and p.sentence2 not in known)
    dev, test = _halves("banking77", held)
    return Domain("banking77", _texts(own), dev, test, _clear_of(_of_classes(own), test))


def _classes(name: str) -> Domain:
    """Items of a train split give text; pairs of the dev and test splits measure."""
    items = [row for row in _rows(name, "items") if row["split"] == "train"]
    pairs = _rows(name, "pairs")
    dev, test = (_set(name, (_pair(r) for r in pairs if r["split"] == s)) for s in _SPLITS[1:])
    return Domain(name, _texts(items), dev, test, _clear_of(_of_classes(items), test))


def _of_classes(items: Sequence[Row]) -> list[SetPair]:
    """Return as many pairs of one class as of two, by the hashes of their texts."""
    ordered = sorted(items, key=lambda row: _share("line", str(row["text"])))
    by_class = sorted(ordered, key=lambda row: str(row["label_name"]))
    found = []
    for line, same in ((by_class, True), (ordered, False)):
        rows = [
            SetPair(str(one["text"]), str(two["text"]), float(same))
            for one, two in itertools.pairwise(line)
            if (one["label_name"] == two["label_name"]) is same
        ]
        found += sorted(rows, key=lambda p: _share(p[0], p[1]))[: GOLD_PAIRS // 2]
    return found


def _contractnli() -> Domain:
    texts = _texts(_rows("raw_legal_nda", "text"))
    dev, test = _halves("contractnli", map(_pair, _rows("contractnli", "pairs")))
    return Domain("contractnli", texts, dev, test, dev.pairs)  # clauses recur, pairs do not


def _covid() -> Domain:
    texts = _texts(_rows("raw_covid_papers", "text"))
    dev, test = _halves("covid_question_sim", map(_pair, _rows("covid_question_sim", "pairs")))
    return Domain("covid_question_sim", texts, dev, test, _clear_of(dev.pairs, test))


def _search(name: str, queries: Sequence[Row], corpus: Sequence[Row]) -> SearchSet:
    places = {str(row["doc_id"]): place for place, row in enumerate(corpus)}
    answers: dict[str, dict[int, int]] = {str(row["query_id"]): {} for row in queries}
    for row in _rows(name, "qrels"):
        if str(row["query_id"]) in answers and int(row["relevance"]) > 0:
            answers[str(row["query_id"])][places[str(row["doc_id"])]] = int(row["relevance"])
    asked = [row for row in queries if answers[str(row["query_id"])]]
    own = [places.get(str(row.get("self_doc_id"))) for row in asked]
    excluded = tuple(frozenset(() if place is None else (place,)) for place in own)
    return SearchSet(
        name,
        "domain",
        tuple(str(row["text"]) for row in asked),
        tuple(f"{row['title']} {row['text']}".strip() for row in corpus),
        tuple(answers[str(row["query_id"])] for row in asked),
        excluded if any(excluded) else (),
    )


def _found(search: SearchSet) -> list[SetPair]:
    """Return each query with what answers it, and with as many documents that do not."""
    pairs = []
    for query, answers in zip(search.queries, search.relevant, strict=True):
        others = sorted(range(len(search.corpus)), key=lambda row: _share(query, str(row)))
        wrong = [row for row in others[: 2 * len(answers)] if row not in answers]
        pairs += [SetPair(query, search.corpus[row], 1.0) for row in answers]
        pairs += [SetPair(query, search.corpus[row], 0.0) for row in wrong[: len(answers)]]
    return pairs


def _bugs() -> Domain:
    """Reports of one cluster of duplicates are all in dev or all in test."""
    corpus = _rows("bugdup_eclipse", "corpus")
    cluster = {str(row["doc_id"]): str(row["cluster"]) for row in corpus}
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in _rows("bugdup_eclipse", "queries"):
        halves[_share(cluster[str(row["self_doc_id"])]) >= 0.5].append(row)
    dev, test = (_search("bugdup_eclipse", half, corpus) for half in halves)
    gold = [p for p in _found(dev) if p.sentence1 not in set(test.queries)]
    return Domain("bugdup_eclipse", _texts(corpus), dev, test, tuple(gold))


def _pubmedqa() -> Domain:
    corpus = _rows("pubmedqa", "corpus")
    queries = _rows("pubmedqa", "queries")
    dev, test = (
        _search("pubmedqa", [row for row in queries if row["split"] == split], corpus)
        for split in _SPLITS[1:]
    )
    gold = [p for p in _found(dev) if p.sentence1 not in set(test.queries)]
    return Domain("pubmedqa", _texts(_rows("raw_biomed_pubmedqa", "text")), dev, test, tuple(gold))


_SPLITS: Final = ("train", "dev", "test")

DOMAINS: Final[dict[str, Callable[[], Domain]]] = {
    "stsb": _stsb,
    "patent_phrase": _patent_phrase,
    "banking77": _banking77,
    "clinc150": lambda: _classes("clinc150"),
    "stackoverflow_titles": lambda: _classes("stackoverflow_titles"),
    "contractnli": _contractnli,
    "bugdup_eclipse": _bugs,
    "covid_question_sim": _covid,
    "pubmedqa": _pubmedqa,
}
