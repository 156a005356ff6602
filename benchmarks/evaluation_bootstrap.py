"""How long the interval and the p-value of a difference take, against resamples one by one."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import stats

from benchmarks._record import Figure, Measurement
from pipeline.evaluation import permutation
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.significance import (
    Bootstrap,
    compare_average_precision,
    compare_means,
    compare_pearson,
    compare_spearman,
)

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two cores, the interval of a difference in Spearman's ρ from 10,000 resamples of 10,000 "
    "pairs and the p-value from as many permutations take two seconds together at most."
)
PAIRS: Final = 10_000
RESAMPLES: Final = 10_000
QUICK: Final = 1_000  # resamples
LABELS: Final = 26  # 0 to 5 in steps of 0.2
ONE_BY_ONE: Final = 40  # resamples that scipy ranks anew
RUNS: Final = 5
SEED: Final = 13


def measure(*, quick: bool) -> Measurement:
    """Time every comparison, in turns; ``quick`` with a tenth of the resamples."""
    gold, base, adapted = systems(PAIRS)
    bootstrap = Bootstrap(QUICK if quick else RESAMPLES, 0.95, SEED)
    labels = (gold > 0.7).astype(float)
    work: dict[str, Callable[[], object]] = {
        "Spearman's ρ": lambda: compare_spearman(gold, base, adapted, bootstrap),
        "Spearman's ρ, p-value alone": lambda: permutation.of_spearman(
            gold, base, adapted, bootstrap
        ),
        "Pearson's r": lambda: compare_pearson(gold, base, adapted, bootstrap),
        "means": lambda: compare_means(base, adapted, bootstrap),
        "average precision": lambda: compare_average_precision(labels, base, adapted, bootstrap),
        "average precision, p-value alone": lambda: permutation.of_average_precision(
            labels, base, adapted, bootstrap
        ),
        "one by one": lambda: one_by_one(gold, base, adapted),
    }
    taken = _in_turns(work)
    slow = taken.pop("one by one") / ONE_BY_ONE * bootstrap.resamples
    whole, p_value = taken["Spearman's ρ"], taken["Spearman's ρ, p-value alone"]
    figures = [
        Figure.of("pairs", PAIRS, ""),
        Figure.of("resamples, and permutations", bootstrap.resamples, ""),
        Figure.of("Spearman's ρ, interval and p-value", whole, "s", "<=", 2),
        Figure.of("Spearman's ρ, interval alone", whole - p_value, "s", "<=", 2),
        *(Figure.of(name, seconds, "s") for name, seconds in list(taken.items())[1:]),
        Figure.of("ranking each resample with scipy, in proportion", slow, "s"),
        Figure.of("faster than that", slow / (whole - p_value), "times", ">="),
    ]
    return Measurement(tuple(figures), SEED)


def systems(pairs: int) -> tuple[Floats, Floats, Floats]:
    """Return gold labels with many ties and two systems that follow them, each (pairs,)."""
    generator = np.random.default_rng(SEED)
    gold = generator.integers(0, LABELS, pairs) / (LABELS - 1)
    base, adapted = (gold + generator.normal(scale=scale, size=pairs) for scale in (0.5, 0.48))
    return gold, base, adapted


def one_by_one(gold: Floats, base: Floats, adapted: Floats) -> Floats:
    """Return differences in ρ of resamples that are each drawn, ranked and measured by scipy."""
    generator, found = np.random.default_rng(SEED), []
    for _ in range(ONE_BY_ONE):
        rows = generator.integers(0, len(gold), len(gold))
        rho = [stats.spearmanr(gold[rows], side[rows]).statistic for side in (base, adapted)]
        found.append(rho[1] - rho[0])
    return np.array(found)


def _in_turns(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each; turns, so that a busy moment is nobody's alone."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(RUNS):
        log.info("turn %d of %d", turn + 1, RUNS)
        for name, run in work.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
