"""Sets of one's own as MTEB tasks: the data is in memory, so nothing is looked up anywhere.

Imports mteb, which takes seconds; `pipeline.evaluation.mteb_run` does so when there is need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from datasets import Dataset, DatasetDict
from mteb.abstasks import (
    AbsTask,
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SearchEncoderWrapper

from pipeline.evaluation.items import Item, ItemSet
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet
from pipeline.records import digest_of

SPLIT: Final = "test"
SUBSET: Final = "default"
UNDETERMINED: Final = "und-Zyyy"  # ISO 639-3 and 15924; MTEB finds no score without a language
MAIN: Final[Mapping[str, str]] = {
    "STS": "cosine_spearman",
    "PairClassification": "cosine_ap",
    "Retrieval": "ndcg_at_10",
    "Classification": "accuracy",
    "Clustering": "v_measure",
}


class PrivateSts(AbsTaskSTS):
    """Graded pairs; the model is measured by Spearman's ρ of its cosines."""

    min_score = 0
    max_score = 1

    def __init__(self, given: PairSet, description: str) -> None:
        self.metadata = _metadata(given.name, "STS", description, _pair_parts(given))
        super().__init__()
        _hold(self, {SPLIT: _sides(given) | {"score": [pair.score for pair in given.pairs]}})


class PrivatePairClassification(AbsTaskPairClassification):
    """Pairs that are duplicates or not; measured by the average precision of the cosines."""

    def __init__(self, given: PairSet, description: str) -> None:
        self.metadata = _metadata(given.name, "PairClassification", description, _pair_parts(given))
        super().__init__()
        _hold(self, {SPLIT: _sides(given) | {"labels": [int(p.score) for p in given.pairs]}})


class PrivateClassification(AbsTaskClassification):
    """Texts with classes: logistic regression on the vectors of eight texts a class, ten times."""

    def __init__(self, given: ItemSet, description: str) -> None:
        parts = [*_item_parts(given.train), "test", *_item_parts(given.test)]
        self.metadata = _metadata(given.name, "Classification", description, parts)
        super().__init__()
        numbers = _numbers([*given.train, *given.test])
        _hold(self, {"train": _items(given.train, numbers), SPLIT: _items(given.test, numbers)})


class PrivateClustering(AbsTaskClustering):
    """Texts with classes: k-means of ten resamples, compared with the classes by V-measure."""

    max_fraction_of_documents_to_embed = None
    input_column_name = "text"
    label_column_name = "label"

    def __init__(self, given: ItemSet, description: str) -> None:
        parts = _item_parts(given.test)
        self.metadata = _metadata(given.name, "Clustering", description, parts)
        super().__init__()
        self.max_documents_per_cluster = min(self.max_documents_per_cluster, len(given.test))
        _hold(self, {SPLIT: _items(given.test, _numbers(given.test))})


class PrivateRetrieval(AbsTaskRetrieval):
    """Queries with known answers in a corpus; measured by nDCG@10 of exact search."""

    def __init__(self, given: SearchSet, description: str) -> None:
        self.metadata = _metadata(given.name, "Retrieval", description, _search_parts(given))
        super().__init__()
        queries = {_query(row): text for row, text in enumerate(given.queries)}
        corpus = {_document(row): text for row, text in enumerate(given.corpus)}
        relevant = {
            _query(row): {_document(place): grade for place, grade in grades.items()}
            for row, grades in enumerate(given.relevant)
        }
        self.excluded = {
            _query(row): {_document(place) for place in places}
            for row, places in enumerate(given.excluded)
        }
        held: RetrievalSplitData = {
            "corpus": _texts(corpus),
            "queries": _texts(queries),
            "relevant_docs": relevant,
            "top_ranked": None,
        }
        self.dataset = {SUBSET: {SPLIT: held}}
        self.data_loaded = True

    def _evaluate_subset(self, model: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return super()._evaluate_subset(_Excluding(model, self.excluded), *args, **options)


class _Excluding(SearchEncoderWrapper):
    """MTEB's own exact search, which leaves out of each query's results what it must not find."""

    def __init__(self, model: Any, excluded: Mapping[str, set[str]]) -> None:  # noqa: ANN401
        super().__init__(model)
        self._excluded = excluded

    def search(self, *args: Any, top_k: int, **options: Any) -> Any:  # noqa: ANN401
        most = max((len(some) for some in self._excluded.values()), default=0)
        found = super().search(*args, top_k=top_k + most, **options)
        for query, scores in found.items():
            for document in self._excluded.get(query, ()):
                scores.pop(document, None)
        return found


def of_set(given: EvaluationSet | ItemSet) -> list[AbsTask]:
    """Return the MTEB tasks of a set: two of labelled items, one of all others."""
    if isinstance(given, ItemSet):
        size = f"{len(given.test):,} items of {len({item.label for item in given.test})} classes"
        return [PrivateClassification(given, size), PrivateClustering(given, size)]
    if isinstance(given, PairSet):
        size = f"{len(given.pairs):,} pairs"
        kind = PrivateSts if given.kind == "graded" else PrivatePairClassification
        return [kind(given, size)]
    size = f"{len(given.queries):,} queries, {len(given.corpus):,} texts"
    return [PrivateRetrieval(given, size)]


def task_name(name: str, kind: str) -> str:
    """Return the task's name, which is also that of its file of results."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return f"{safe or 'set'}-{kind}"


def _metadata(name: str, kind: Any, description: str, parts: Iterable[str]) -> TaskMetadata:  # noqa: ANN401
    """Return what MTEB wants to know of a task; the revision is a digest of all that is in it."""
    return TaskMetadata(
        name=task_name(name, kind),
        description=f"A private set: {description}.",
        type=kind,
        category="t2c" if kind in {"Classification", "Clustering"} else "t2t",
        dataset={"path": f"private/{task_name(name, kind)}", "revision": digest_of(*parts)},
        eval_splits=[SPLIT],
        eval_langs=[UNDETERMINED],
        main_score=MAIN[kind],
        is_public=False,
    )


def _hold(task: AbsTask, splits: Mapping[str, dict[str, list[Any]]]) -> None:
    """Give a task its data; MTEB loads none where there is some, and leaves it in place."""
    made = {name: Dataset.from_dict(columns) for name, columns in splits.items()}
    task.dataset = {SUBSET: DatasetDict(made)}
    task.data_loaded = True


def _sides(given: PairSet) -> dict[str, list[Any]]:
    first, second = ([pair[side] for pair in given.pairs] for side in (0, 1))
    return {"sentence1": first, "sentence2": second}


def _texts(texts: Mapping[str, str]) -> Dataset:
    return Dataset.from_dict({"id": list(texts), "text": list(texts.values())})


def _items(items: Sequence[Item], numbers: Mapping[str, int]) -> dict[str, list[Any]]:
    return {"text": [i.text for i in items], "label": [numbers[i.label] for i in items]}


def _numbers(items: Iterable[Item]) -> dict[str, int]:
    return {label: place for place, label in enumerate(sorted({item.label for item in items}))}


def _query(row: int) -> str:
    return f"q{row}"


def _document(row: int) -> str:
    return f"d{row}"


def _pair_parts(given: PairSet) -> list[str]:
    return [part for p in given.pairs for part in (p.sentence1, p.sentence2, repr(p.score))]


def _item_parts(items: Iterable[Item]) -> list[str]:
    return [part for item in items for part in item]


def _search_parts(given: SearchSet) -> list[str]:
    answers = [repr(sorted(grades.items())) for grades in given.relevant]
    left_out = [repr(sorted(places)) for places in given.excluded]
    return [*given.queries, "corpus", *given.corpus, "relevant", *answers, "excluded", *left_out]
