"""Systems that are neither base nor adapted: an outside view of how hard the measures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.evaluation import metrics
from pipeline.evaluation.retrieval import Task
from pipeline.gold import GoldPair

NGRAMS: Final = (3, 5)


def char_tfidf(gold: Sequence[GoldPair], task: Task) -> dict[str, float | None]:
    """Return the figures of character-n-gram TF-IDF, weighted by the corpus of the search task."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - slow to import

    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=NGRAMS, sublinear_tf=True)
    corpus = vectoriser.fit_transform(task.corpus)
    queries = vectoriser.transform(task.queries)
    slices = metrics.blocks(len(task.queries), len(task.corpus))
    found = np.concatenate([metrics.best((queries[s] @ corpus.T).toarray()) for s in slices])
    rho = None
    if gold:
        left = vectoriser.transform([pair.sentence1 for pair in gold])
        right = vectoriser.transform([pair.sentence2 for pair in gold])
        cosines = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        rho = metrics.spearman(np.array([pair.score for pair in gold]), cosines)
    return {
        "gold": rho,
        "ndcg@10": float(metrics.ndcg(found, task.relevant).mean()),
        "mrr@10": float(metrics.reciprocal_rank(found, task.relevant).mean()),
    }
