"""All pairs that the strategies propose, as numbers: a pool may hold millions."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.mining.strategies import STRATEGIES, Proposal
from pipeline.mining.texts import Texts
from pipeline.records import normalised, text_id

# Strategies that bring texts of their own, which have to be encoded, and how many of their
# proposals are looked at for each pair that may be taken of them.
OWN_TEXTS: Final = frozenset({"title_body", "same_document", "adjacent_sentences"})
LOOKED_AT: Final = 4

Places = NDArray[np.int32]


class Pool(NamedTuple):
    """Candidates, one a row: the places of their texts, documents and strategy in the lists."""

    texts: list[str]
    meaning: Places  # of each text; texts that differ in case or white space only share a number
    names: tuple[str, ...]  # of the strategies
    first: Places
    second: Places
    one: Places  # the document of the first text
    two: Places
    strategy: Places

    def only(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Pool:
        """Return the pool with these candidates, in this order."""
        columns = (self.first, self.second, self.one, self.two, self.strategy)
        return Pool(self.texts, self.meaning, self.names, *(column[rows] for column in columns))

    def by_strategy(self) -> dict[str, int]:
        """Return how many candidates there are of each strategy that has any."""
        counts = np.bincount(self.strategy, minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, counts, strict=True) if count}


def gather(texts: Texts, names: Sequence[str], dropped: Counter[str]) -> Pool:
    """Return what the strategies ``names`` propose; counts in ``dropped`` what is left out."""
    places: dict[str, int] = {}
    rows = array("i")
    for number, name in enumerate(names):
        for sentence1, sentence2, one, two in _proposals(name, texts, dropped):
            first = places.setdefault(sentence1, len(places))
            second = places.setdefault(sentence2, len(places))
            rows.extend((first, second, one, two, number))
    meanings: dict[str, int] = {}
    meaning = [meanings.setdefault(normalised(text), len(meanings)) for text in places]
    columns = np.frombuffer(rows, dtype=np.intc).astype(np.int32).reshape(-1, 5).T
    pool = Pool(list(places), np.array(meaning, np.int32), tuple(names), *columns)
    unwanted = texts.unwanted(pool.texts)
    return _wanted(pool, unwanted, dropped) if unwanted else pool


def _wanted(pool: Pool, unwanted: frozenset[str], dropped: Counter[str]) -> Pool:
    fine = np.array([text_id(text) not in unwanted for text in pool.texts], bool)
    both = fine[pool.first] & fine[pool.second]
    dropped["held_out_text"] += int((~both).sum())
    return pool.only(both)


def _proposals(name: str, texts: Texts, dropped: Counter[str]) -> Sequence[Proposal]:
    proposals = list(STRATEGIES[name](texts))
    settings = texts.settings
    most = LOOKED_AT * max(1, round(settings.pairs * settings.shares[name]))
    if not texts.thorough or name not in OWN_TEXTS or len(proposals) <= most:
        return proposals
    dropped["not_looked_at"] += len(proposals) - most
    return sorted(proposals, key=lambda found: texts.draw("look", *found[:2]))[:most]


def distinct(pool: Pool, dropped: Counter[str]) -> Pool:
    """Return the pool with each pair once, as the first strategy proposes it, and of two texts."""
    low, high = np.sort(pool.meaning[np.stack([pool.first, pool.second])].astype(np.int64), axis=0)
    _, once = np.unique(low << 32 | high, return_index=True)
    differing = once[low[once] != high[once]]
    dropped["same_text"] += int((low == high).sum())
    dropped["proposed_twice"] += int((low != high).sum()) - len(differing)
    return pool.only(np.sort(differing))


def lots(pool: Pool, seed: int) -> NDArray[np.uint64]:
    """Return a number for each candidate that depends on the seed and its two texts alone.

    The ids of the texts, lower one first, mixed by the finaliser of SplitMix64 (Steele, Lea and
    Flood 2014, https://doi.org/10.1145/2714064.2660195).
    """
    ids = np.array([int(text_id(text), 16) for text in pool.texts], dtype=np.uint64)
    low, high = np.sort(np.stack([ids[pool.first], ids[pool.second]]), axis=0)
    mixed: NDArray[np.uint64] = _mixed(_mixed(low + np.uint64(seed)) + high)
    return mixed


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
