"""What is measured: ρ and r of graded similarity, and nDCG, MRR and recall of exact search.

Figures of a search are those of trec_eval (``ndcg_cut``, ``recip_rank``, ``recall``;
https://github.com/usnistgov/trec_eval), which BEIR and MTEB report: gains are linear in the grade,
and a place counts 1 / log2(place + 1). Where trec_eval orders equal scores by document name,
descending, equal scores here keep the order of the corpus.

A query without relevant texts has the value 0 in all three. trec_eval gives the same to a query
that was judged and had nothing relevant, and leaves out of its means a query that was not judged:
whoever calls does so too, as only they know which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.errors import InputError

DEPTH: Final = 10
NOTHING: Final = -1  # the row found where every text that may be found was found before

_BLOCK: Final = 1 << 24  # similarities held at once: 64 MiB of float32

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Relevant = Sequence[Mapping[int, int]]  # a mapping a query: row of the corpus -> grade, 1 or more


class Grouped(NamedTuple):
    """A measure over all pairs at once, of each group of pairs, and the groups' two means."""

    all: float
    mean: float
    weighted_mean: float
    groups: dict[str, float]


def spearman(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return Spearman's ρ, tied values sharing their mean rank; 0 when one side is constant.

    Raises:
        InputError: when the sides are of unlike length, or a value is not a finite number.
    """
    left, right = paired(left, right)
    if _constant(left) or _constant(right):
        return 0.0
    return float(stats.spearmanr(left, right).statistic)


def pearson(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return Pearson's r, in float64; 0 when one side is constant.

    Raises:
        InputError: when the sides are of unlike length, or a value is not a finite number.
    """
    left, right = paired(left, right)
    if _constant(left) or _constant(right):
        return 0.0
    left, right = standard(left), standard(right)
    return float(np.clip(left @ right / len(left), -1.0, 1.0))


def by_group(
    gold: NDArray[Any],
    scores: NDArray[Any],
    groups: Sequence[str],
    measure: Callable[[NDArray[Any], NDArray[Any]], float] = spearman,
) -> Grouped:
    """Return ``measure`` as SentEval does for a year of STS: over all pairs, and by sub-set.

    ``all`` is measured over the concatenation, which is what papers report; ``mean`` and
    ``weighted_mean`` (by pairs) are SentEval's ``mean`` and ``wmean`` of the sub-sets (Conneau and
    Kiela 2018, https://arxiv.org/abs/1803.05449; ``senteval/sts.py``). ``groups`` names the group
    of each pair; groups come in the order of their first pair.

    Raises:
        InputError: as ``measure`` does, and when there are no pairs.
    """
    gold, scores = paired(gold, scores)
    if len(groups) != len(gold) or not len(gold):
        message = f"{len(gold)} pairs and {len(groups)} groups: give a group to each of the pairs"
        raise InputError(message)
    names, labels = list(dict.fromkeys(groups)), np.asarray(groups, dtype=object)
    members = [np.flatnonzero(labels == name) for name in names]
    found = [measure(gold[rows], scores[rows]) for rows in members]
    return Grouped(
        all=measure(gold, scores),
        mean=float(np.mean(found)),
        weighted_mean=float(np.average(found, weights=[len(rows) for rows in members])),
        groups=dict(zip(names, found, strict=True)),
    )


def paired(left: NDArray[Any], right: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return both sides as float64, each of shape (pairs,).

    Raises:
        InputError: when they are of unlike length, or a value is not a finite number.
    """
    left, right = finite(left), finite(right)
    if len(left) != len(right):
        message = f"{len(left)} values against {len(right)}: give one of each side for every pair"
        raise InputError(message)
    return left, right


def finite(values: NDArray[Any]) -> Floats:
    """Return ``values`` as float64.

    Raises:
        InputError: when they are not one row of numbers, or one of them is not finite.
    """
    numbers: Floats = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        message = f"values of shape {numbers.shape} where one number an item is measured"
        raise InputError(message)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        message = (
            f"value {wrong[0]} of {len(numbers)} is {numbers[wrong[0]]} ({len(wrong)} such): "
            "a measure needs finite numbers; look at the labels, and at the vectors of that item"
        )
        raise InputError(message)
    return numbers


def standard(values: Floats) -> Floats:
    """Return ``values`` less their mean, in units of their standard deviation; 0s if constant."""
    centred: Floats = values - values.mean()
    largest = np.abs(centred).max(initial=0.0)
    if largest == 0 or np.ptp(values) == 0:  # a mean can be a rounding off the one value there is
        return np.zeros_like(centred)
    centred /= largest  # so that no square is too small or too large for a float
    centred /= np.sqrt(np.mean(centred**2))
    return centred


def best(scores: NDArray[Any], depth: int = DEPTH) -> Places:
    """Return the columns of the ``depth`` highest scores of each row, highest first.

    Equal scores keep the order of their columns, at the edge of the list too.
    """
    depth = min(depth, scores.shape[1])
    columns = np.sort(np.argpartition(-scores, depth - 1, axis=1)[:, :depth], axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    crowded = (scores >= values.min(axis=1, keepdims=True)).sum(axis=1) > depth
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.take_along_axis(columns, order, axis=1)
    for row in np.flatnonzero(crowded):  # ties at the edge: argpartition chose among them freely
        found[row] = np.argsort(-scores[row], kind="stable")[:depth]
    return found


def blocks(queries: int, corpus: int) -> Iterator[slice]:
    """Yield slices of the queries whose similarities with the whole corpus fit in memory."""
    step = max(1, _BLOCK // max(corpus, 1))
    for start in range(0, queries, step):
        yield slice(start, start + step)


def search(
    queries: NDArray[Any],
    corpus: NDArray[Any],
    depth: int = DEPTH,
    excluded: Sequence[AbstractSet[int]] | None = None,
) -> Places:
    """Return the rows of ``corpus`` nearest to each query by inner product; exact, in blocks.

    ``queries`` and ``corpus`` are of shapes (queries, d) and (corpus, d); the result is of shape
    (queries, at most ``depth``), nearest first, equal similarities in the order of the corpus.
    ``excluded`` names, for each query, rows that it must not find, as a document that searches its
    own collection must not find itself; a query left with fewer rows than asked for has
    ``NOTHING`` (-1) in the places that remain.

    Raises:
        InputError: when the dimensions differ, a vector is not finite, or ``excluded`` does not
            have one set a query.
    """
    _check_vectors(queries, corpus)
    if excluded is not None and len(excluded) != len(queries):
        message = f"{len(queries)} queries and {len(excluded)} sets of excluded rows: one a query"
        raise InputError(message)
    found = [np.empty((0, min(depth, len(corpus))), dtype=np.intp)]
    for rows in blocks(len(queries), len(corpus)):
        scores = queries[rows] @ corpus.T
        left_out = [] if excluded is None else [sorted(some) for some in excluded[rows]]
        for row, columns in enumerate(left_out):
            scores[row, columns] = -np.inf
        places = best(scores, depth)
        if any(left_out):
            places[np.take_along_axis(scores, places, axis=1) == -np.inf] = NOTHING
        found.append(places)
    return np.concatenate(found)


def _check_vectors(queries: NDArray[Any], corpus: NDArray[Any]) -> None:
    if queries.ndim != 2 or corpus.ndim != 2 or queries.shape[1] != corpus.shape[1]:
        message = (
            f"queries of shape {queries.shape} cannot search a corpus of shape {corpus.shape}: "
            "encode both with the same model"
        )
        raise InputError(message)
    if not len(corpus):
        raise InputError("there is no text to search in: give a corpus of one text at least")
    for name, vectors in (("query", queries), ("corpus", corpus)):
        # a sum is finite where all its parts are, short of values that no unit vector has
        wrong = np.flatnonzero(~np.isfinite(vectors.sum(axis=1)))
        if len(wrong):
            message = f"the {name} vector of row {wrong[0]} is not finite: encode that text again"
            raise InputError(message)


def grades(found: Places, relevant: Relevant) -> NDArray[np.int64]:
    """Return the grade of each place found, 0 where it is not relevant; shape of ``found``."""
    rows = [
        [max(wanted.get(row, 0), 0) for row in places]
        for places, wanted in zip(found.tolist(), relevant, strict=True)
    ]
    return np.array(rows, dtype=np.int64).reshape(found.shape)


def ndcg(found: Places, relevant: Relevant, depth: int = DEPTH) -> Floats:
    """Return nDCG at ``depth`` of each query, in [0, 1]: gains linear in the grade.

    Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418, as in trec_eval.
    """
    discounts = 1.0 / np.log2(np.arange(depth) + 2.0)
    gained = _discounted(grades(found[:, :depth], relevant), discounts)
    ideal = np.zeros((len(relevant), depth), dtype=np.int64)
    for row, wanted in enumerate(relevant):
        highest = sorted((grade for grade in wanted.values() if grade > 0), reverse=True)[:depth]
        ideal[row, : len(highest)] = highest
    return _shares(gained, _discounted(ideal, discounts))


def reciprocal_rank(found: Places, relevant: Relevant, depth: int = DEPTH) -> Floats:
    """Return 1 / place of the first relevant text of each query, 0 when none is in ``depth``."""
    hit = grades(found[:, :depth], relevant) > 0
    places = hit.argmax(axis=1) if hit.shape[1] else np.zeros(len(hit))
    values: Floats = np.where(hit.any(axis=1), 1.0 / (places + 1.0), 0.0)
    return values


def recall(found: Places, relevant: Relevant, depth: int = DEPTH) -> Floats:
    """Return the share of each query's relevant texts that are in its first ``depth`` places.

    ``found`` must have been searched to ``depth`` at least.
    """
    hit = grades(found[:, :depth], relevant) > 0
    wanted = [sum(grade > 0 for grade in some.values()) for some in relevant]
    return _shares(hit.sum(axis=1), np.array(wanted))


def _discounted(gains: NDArray[np.int64], discounts: Floats) -> Floats:
    values: Floats = gains @ discounts[: gains.shape[1]]
    return values


def _shares(parts: NDArray[Any], wholes: NDArray[Any]) -> Floats:
    values: Floats = np.zeros(len(parts))
    np.divide(parts, wholes, out=values, where=wholes > 0)
    return values


def _constant(values: Floats) -> bool:
    return len(values) < 2 or bool(np.ptp(values) == 0)
