"""Which of the proposed pairs are asked about. Adding a way is a function and a line.

``even`` spreads the pairs evenly over the labels that they are expected to get: a ranking
objective learns from pairs whose labels differ, and candidates as they come are mostly alike.
Within a tenth of the range, strategies come in turn, and so do pairs more alike by letters, more
alike by vectors and as much by either; a hash of the two texts decides among those of a kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.mining.likeness import Likeness, Scale
from pipeline.mining.pool import Places, Pool, distinct, gather, lots
from pipeline.mining.strategies import STRATEGIES
from pipeline.mining.texts import Texts
from pipeline.records import pair_id

BINS: Final = 10  # of the expected label
AHEAD: Final = (-0.15, 0.15)  # likeness by letters less that by vectors: between them, about alike
BY_DESIGN: Final = "source_duplicates"  # near-duplicates that are not paired by accident


class Sample(NamedTuple):
    """The pairs taken, how alike they look, and of what they were taken."""

    pool: Pool
    likeness: Likeness
    proposed: dict[str, int]  # candidates by strategy
    candidates: list[int]  # by expected label; empty where it is not known
    dropped: Counter[str]


def even(texts: Texts) -> Sample:
    """Take pairs evenly over the range of expected labels, as far as there are candidates."""
    shares, dropped = texts.settings.shares, Counter[str]()
    pool = gather(texts, [name for name in STRATEGIES if shares.get(name)], dropped)
    proposed = pool.by_strategy()
    pool = distinct(pool, dropped)
    likeness = Scale(texts).of(pool.texts, pool.first, pool.second)
    found = take(texts, pool, likeness, lots(pool, texts.settings.seed), dropped)
    return found._replace(proposed=proposed)


def take(
    texts: Texts,
    pool: Pool,
    likeness: Likeness,
    order: NDArray[np.uint64],
    dropped: Counter[str],
) -> Sample:
    """Take pairs evenly over their expected labels; of those of a kind, the lowest of ``order``."""
    chosen = _Draw(texts, pool, likeness, dropped).run(_queues(pool, likeness, order))
    counts = np.bincount(tenths(likeness.expected), minlength=BINS).tolist()
    drawn = Likeness(*(values[chosen] for values in likeness))
    return Sample(pool.only(chosen), drawn, pool.by_strategy(), counts, dropped)


def by_shares(texts: Texts) -> Sample:
    """Take a fixed share of the pairs of each strategy, in order of the pairs' ids.

    What a strategy cannot give, for texts of one sentence say, the others give.
    """
    settings, dropped = texts.settings, Counter[str]()
    pool = gather(texts, [name for name in settings.shares if settings.shares[name]], dropped)
    total = sum(settings.shares.values())
    taken: dict[str, int] = {}
    left: list[tuple[str, int]] = []
    for number, name in enumerate(pool.names):
        rows = np.flatnonzero(pool.strategy == number)
        share = round(settings.pairs * settings.shares[name] / total)
        wanted = min(settings.pairs, len(taken) + share)
        left += _moved(pool, rows.tolist(), wanted, taken, dropped)
    left = _moved(pool, [row for _, row in left], settings.pairs, taken, dropped)
    dropped["over_share"] += len(left)
    drawn = pool.only(np.array(list(taken.values()), dtype=np.intp))
    likeness = Scale(texts).of(drawn.texts, drawn.first, drawn.second)
    return Sample(drawn, likeness, pool.by_strategy(), [], dropped)


def _moved(
    pool: Pool, rows: Sequence[int], wanted: int, taken: dict[str, int], dropped: Counter[str]
) -> list[tuple[str, int]]:
    """Take candidates, lowest id first, until ``wanted`` are taken; return those left over."""
    left: list[tuple[str, int]] = []
    for identity, row in sorted((_id(pool, row), row) for row in rows):
        reason = _refusal(pool, row, known=identity in taken)
        if reason:
            dropped[reason] += 1
        elif len(taken) < wanted:
            taken[identity] = row
        else:
            left.append((identity, row))
    return left


SAMPLERS: Final[dict[str, Callable[[Texts], Sample]]] = {"even": even, "shares": by_shares}


def tenths(expected: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return in which tenth of [0, 1] each value lies."""
    return np.clip((expected * BINS).astype(np.intp), 0, BINS - 1)


def _id(pool: Pool, row: int) -> str:
    return pair_id(pool.texts[pool.first[row]], pool.texts[pool.second[row]])


def _refusal(pool: Pool, row: int, *, known: bool) -> str:
    if known:
        return "proposed_twice"
    if pool.meaning[pool.first[row]] == pool.meaning[pool.second[row]]:
        return "same_text"
    return ""


def _queues(pool: Pool, likeness: Likeness, order: NDArray[np.uint64]) -> list[list[int]]:
    """Return the candidates of each tenth of the expected label, its strata in turn."""
    bins = tenths(likeness.expected)
    ahead = np.digitize(likeness.lexical - likeness.dense, AHEAD)
    cells = (bins * len(pool.names) + pool.strategy) * (len(AHEAD) + 1) + ahead
    sorted_rows = np.lexsort((order, cells))
    ordered = cells[sorted_rows]
    turns = np.arange(len(cells)) - np.searchsorted(ordered, ordered)  # place within its cell
    rows = sorted_rows[np.lexsort((order[sorted_rows], turns, bins[sorted_rows]))]
    ends = np.cumsum(np.bincount(bins, minlength=BINS))[:-1]
    return [part.tolist() for part in np.split(rows, ends)]


class _Draw:
    """Takes candidates in turn, within the limits on texts and strategies."""

    def __init__(self, texts: Texts, pool: Pool, likeness: Likeness, dropped: Counter[str]) -> None:
        settings = texts.settings
        self._pairs, self._uses_most = settings.pairs, settings.max_uses
        self._dropped = dropped
        self._texts = np.stack([pool.meaning[pool.first], pool.meaning[pool.second]], axis=1)
        self._strategy = pool.strategy
        whole = min(1.0, sum(settings.shares.values()))
        self._left = [round(settings.pairs * settings.shares[n] / whole) for n in pool.names]
        self._uses = np.zeros(len(pool.meaning), np.int64)
        self._alike = _near_duplicates(texts, pool, likeness)

    def run(self, queues: Sequence[Sequence[int]]) -> NDArray[np.intp]:
        """Return the rows taken, one of each queue in turn until there are enough."""
        taken: list[int] = []
        waiting = [iter(queue) for queue in queues]
        seen = 0
        while waiting and len(taken) < self._pairs:
            for queue in list(waiting):
                looked, row = self._next(queue)
                seen += looked
                if row is None:
                    waiting.remove(queue)
                else:
                    taken.append(row)
                if len(taken) == self._pairs:
                    break
        self._dropped["not_needed"] += sum(map(len, queues)) - seen
        return np.array(taken, dtype=np.intp)

    def _next(self, queue: Iterator[int]) -> tuple[int, int | None]:
        looked = 0
        for row in queue:
            looked += 1
            reason = self._refusal(row)
            if not reason:
                self._uses[self._texts[row]] += 1
                self._left[self._strategy[row]] -= 1
                return looked, row
            self._dropped[reason] += 1
        return looked, None

    def _refusal(self, row: int) -> str:
        if self._alike[row]:
            return "near_duplicate"
        if (self._uses[self._texts[row]] >= self._uses_most).any():
            return "text_used_up"
        return "over_share" if self._left[self._strategy[row]] <= 0 else ""


def _near_duplicates(texts: Texts, pool: Pool, likeness: Likeness) -> NDArray[np.bool_]:
    """Return which candidates are near-duplicates that no source vouches for."""
    numbers: dict[str, int] = {}
    cluster: Places = np.array(
        [numbers.setdefault(d.cluster or f"only {d.id}", len(numbers)) for d in texts.documents],
        np.int32,
    )
    alike = cluster[pool.one] == cluster[pool.two]
    alike &= pool.one != pool.two
    alike |= likeness.lexical >= texts.settings.near_duplicate
    vouched = np.array([name == BY_DESIGN for name in pool.names], bool)
    found: NDArray[np.bool_] = alike & ~vouched[pool.strategy]
    return found
