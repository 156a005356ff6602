"""Differences between trials: against a second implementation, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.significance import compare_spearman, holm
from pipeline.trials import table
from pipeline.trials.grid import Trial
from pipeline.trials.scores import ScoredPair
from pipeline.trials.table import Effect, Part, Row, Scored

BOOTSTRAP = Bootstrap(400, 0.95, 3)


def made(seeds: int, noise: float, generator: np.random.Generator, pairs: int = 120) -> Scored:
    gold = np.repeat(np.linspace(0, 1, 6), pairs // 6)
    base = gold + np.random.default_rng(0).normal(0, 1, pairs)
    return Scored(gold, base, gold + generator.normal(0, noise, (seeds, pairs)))


def test_with_one_seed_the_items_interval_is_that_of_the_paired_bootstrap() -> None:
    generator = np.random.default_rng(1)
    own, other = made(1, 0.8, generator), made(1, 0.5, generator)
    first, second = table.effects([own, other], BOOTSTRAP)
    known = compare_spearman(own.gold, own.adapted[0], other.adapted[0], BOOTSTRAP)
    assert (first.difference, first.items, first.p) == (0.0, None, None)
    assert second.items == pytest.approx((known.low, known.high))
    assert second.difference == pytest.approx(known.difference)
    assert second.seeds is None
    assert second.both == pytest.approx(second.items, abs=0.03)
    assert second.p_holm == second.p


def test_several_seeds_are_averaged_and_their_spread_is_an_interval_of_its_own() -> None:
    generator = np.random.default_rng(2)
    own, other = made(4, 0.8, generator), made(4, 0.5, generator)
    _, effect = table.effects([own, other], BOOTSTRAP)
    by_seed = [
        stats.spearmanr(other.gold, mine).statistic - stats.spearmanr(own.gold, theirs).statistic
        for mine, theirs in zip(other.adapted, own.adapted, strict=True)
    ]
    low, high = stats.t.interval(0.95, 3, np.mean(by_seed), stats.sem(by_seed))
    assert effect.difference == pytest.approx(np.mean(by_seed))
    assert effect.seeds == pytest.approx((low, high))
    drawn = table.draws(other, BOOTSTRAP) - table.draws(own, BOOTSTRAP)
    variance = drawn.var(ddof=1) + np.var(by_seed, ddof=1) / 4
    half = (effect.both[1] - effect.both[0]) / 2
    assert half > 1.9 * np.sqrt(variance)
    assert effect.both[0] < effect.seeds[0] or effect.both[1] > effect.items[1]


def test_draws_are_those_of_resampled_pairs() -> None:
    one = made(2, 0.5, np.random.default_rng(3), pairs=30)
    rows = np.random.default_rng(4).integers(0, 30, (300, 30))
    slow = [
        np.mean([stats.spearmanr(one.gold[r], c[r]).statistic for c in one.adapted]) for r in rows
    ]
    quick = table.draws(one, Bootstrap(2_000, 0.95, 5))
    assert np.mean(quick) == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / 300**0.5)
    assert np.std(quick) == pytest.approx(np.std(slow), rel=0.2)


def test_p_values_are_corrected_for_the_number_of_rows() -> None:
    generator = np.random.default_rng(5)
    found = [made(2, noise, generator) for noise in (0.8, 0.5, 0.7, 0.8)]
    effects = table.effects(found, BOOTSTRAP)[1:]
    assert [effect.p_holm for effect in effects] == holm([effect.p for effect in effects])


def test_trials_that_are_the_same_are_seldom_told_apart() -> None:
    """Both sources vary; one in twenty is the promise, and a few more are bad luck."""
    told, worlds = 0, 150
    for world in range(worlds):
        generator = np.random.default_rng(world)
        gold = generator.normal(size=60)

        def trial(generator: np.random.Generator, gold: np.ndarray) -> Scored:
            shift = generator.normal(0.8, 0.15, (3, 1))  # seeds differ in how good they are
            noise = generator.normal(0, 1, (3, 60))
            return Scored(gold, gold, shift * gold + noise)

        pair = [trial(generator, gold), trial(generator, gold)]
        told += table.effects(pair, Bootstrap(100, 0.95, world))[1].p < 0.05
    assert told <= 15


def test_degrees_of_freedom_are_between_those_of_the_parts() -> None:
    assert table.together([Part(1.0, 9)]) == Part(1.0, 9.0)
    whole = table.together([Part(1.0, 1_000), Part(1.0, 2)])
    assert whole.variance == 2.0
    assert whole.freedom == pytest.approx(8, rel=0.01)  # (1 + 1)² / (1/1000 + 1/2)
    low, high = table.around(1.0, [Part(4.0, 5)], 0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 5, 1.0, 2.0))
    assert table.p_value(0.0, [Part(0.0, 3)]) == 1.0
    assert table.p_value(2.0, [Part(1.0, 7)]) == pytest.approx(2 * stats.t.sf(2.0, 7))


def row(name: str, difference: float, p: float, general: float = 0.0) -> Row:
    dev = Effect(rho=0.5 + difference, by_seed=(0.5,), base=0.4, difference=difference, p_holm=p)
    lost = dev.model_copy(update={"both": (general - 0.001, general + 0.001)})
    return Row(trial=Trial(name=name), dev=dev, general=lost)


def test_the_best_row_is_told_by_dev_pairs_and_forgets_little() -> None:
    own = row("own", 0.0, 1.0)
    lucky, worse, good, better = (row("lucky", 0.3, 0.2), row("worse", -0.2, 0.001),
                                  row("good", 0.1, 0.01), row("better", 0.2, 0.01))  # fmt: skip
    forgets, failed = row("forgets", 0.4, 0.001, -0.05), Row(trial=Trial(name="f"), failed="x")
    rows = [own, lucky, worse, good, better, forgets, failed]
    assert table.best(rows, 0.05, 0.02) == (better, True)
    assert table.best(rows, 0.05, 0.1) == (forgets, True)
    assert table.best([own, lucky, worse, failed], 0.05, 0.02) == (own, False)


def test_pairs_are_taken_apart_by_split() -> None:
    def pair(split: str, adapted: float) -> ScoredPair:
        values = {"id": split, "split": split, "gold": 0.5, "base": 0.1, "adapted": adapted}
        return ScoredPair.model_validate(values)

    seeds = [[pair("dev", 0.2), pair("test", 0.3)], [pair("dev", 0.4), pair("test", 0.5)]]
    found = table.scored(seeds, "test")
    assert found.adapted.tolist() == [[0.3], [0.5]]
    assert (found.gold.tolist(), found.base.tolist()) == ([0.5], [0.1])
