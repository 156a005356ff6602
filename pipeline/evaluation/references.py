"""Systems that are no model: an outside view of how hard the measures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline.evaluation import binary, metrics
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet

NGRAMS: Final = (3, 5)
DEPTH: Final = 10


def of(given: EvaluationSet) -> dict[str, float]:
    """Return the set's first measure under each system, by its name."""
    if isinstance(given, PairSet):
        return {"char_tfidf": _pairs(given)}
    return {"char_tfidf": _search(given), "bm25": _bm25(given)}


def _vectoriser() -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - slow to import

    return TfidfVectorizer(analyzer="char_wb", ngram_range=NGRAMS, sublinear_tf=True)


def _pairs(given: PairSet) -> float:
    """Return the measure of the cosines of character-n-gram TF-IDF, weighted by the set's texts."""
    vectoriser = _vectoriser().fit(list(dict.fromkeys(given.texts)))
    left, right = (vectoriser.transform(side) for side in given.sides)
    cosines = np.asarray(left.multiply(right).sum(axis=1)).ravel()
    gold = np.array([pair.score for pair in given.pairs])
    measure = metrics.spearman if given.kind == "graded" else binary.average_precision
    return float(measure(gold, cosines))


def _search(given: SearchSet) -> float:
    vectoriser = _vectoriser()
    corpus = vectoriser.fit_transform(given.corpus)
    queries = vectoriser.transform(given.queries)
    slices = list(metrics.blocks(len(given.queries), len(given.corpus)))
    scores = ((part, (queries[part] @ corpus.T).toarray()) for part in slices)
    found = [metrics.best(_without(given, part.start, block), DEPTH) for part, block in scores]
    return float(metrics.ndcg(np.concatenate(found), given.relevant, DEPTH).mean())


def _bm25(given: SearchSet) -> float:
    """Return the measure of BM25 (Lucene's variant, as in bm25s)."""
    import bm25s  # noqa: PLC0415 - only where a search is measured

    index = bm25s.BM25()
    index.index(_tokens(given.corpus), show_progress=False)
    words = _tokens(given.queries)
    found = np.zeros((len(words), min(DEPTH, len(given.corpus))), dtype=np.intp)
    for row, query in enumerate(words):
        scores = np.asarray(index.get_scores(query)) if query else np.zeros(len(given.corpus))
        found[row] = metrics.best(_without(given, row, scores[None, :]), DEPTH)[0]
    return float(metrics.ndcg(found, given.relevant, DEPTH).mean())


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    import bm25s  # noqa: PLC0415 - see _bm25

    found: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="en", return_ids=False, show_progress=False
    )
    return found


def _without(given: SearchSet, start: int, scores: Any) -> Any:  # noqa: ANN401 - an array
    """Put the rows that a query must not find behind all others."""
    for row in range(len(scores)) if given.excluded else ():
        scores[row, list(given.excluded[start + row])] = -np.inf
    return scores
