"""Calibration to gold: properties, and simulated gold sets of fifty pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

from pipeline.curation import calibration
from pipeline.curation.calibration import FOLDS, METHODS, MIN_GOLD, Opinion, cross_fitted, fit
from pipeline.curation.combine import by_rank

Floats = NDArray[np.float64]

scored = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 5)), min_size=1, max_size=40)


def world(pairs: int, seed: int, rho: float = 0.7) -> tuple[Floats, Floats]:
    """Return gold in sixths, and an annotator's scores on a scale of its own."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=pairs)
    scores = rho * truth + np.sqrt(1 - rho**2) * draw.normal(size=pairs)
    return np.rint(5 / (1 + np.exp(-1.5 * truth))) / 5, 7 * scores - 100


@given(scored)
@settings(deadline=None)
def test_the_map_goes_through_the_middle_of_each_level_stretch(rows: list[tuple[int, int]]) -> None:
    scores, gold = np.array(rows, dtype=float).T
    gold /= 5
    levels = IsotonicRegression(y_min=0, y_max=1).fit(scores, gold).predict(scores).round(12)
    found = fit(scores, gold)
    for level in np.unique(levels):
        middle = scores[levels == level].mean()
        assert found(np.array([middle]))[0] == pytest.approx(level)


@given(scored)
@settings(deadline=None)
def test_the_map_rises_and_stays_within_gold(rows: list[tuple[int, int]]) -> None:
    scores, gold = np.array(rows, dtype=float).T
    found = fit(scores, gold / 5)(np.linspace(-30, 30, 200))
    assert (np.diff(found) >= 0).all()
    assert gold.min() / 5 - 1e-9 <= found.min()
    assert found.max() <= gold.max() / 5 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_a_pairs_own_gold_score_has_no_part_in_its_calibrated_score(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold = draw.permutation(np.linspace(0, 1, MIN_GOLD))
    scores = gold + draw.normal(scale=0.3, size=MIN_GOLD)
    found = cross_fitted(scores, gold)
    for place in range(MIN_GOLD):
        changed = gold.copy()
        changed[place] += 0.009  # no pair changes its place by gold, so the folds are the same
        again = cross_fitted(scores, changed)
        assert again[place] == found[place]
    assert (cross_fitted(scores, 1 - gold) != found).any()


def test_the_error_of_fifty_cross_fitted_pairs_is_that_of_pairs_without_gold() -> None:
    said, true = [], []
    for seed in range(60):
        gold, scores = world(MIN_GOLD + 500, seed)
        opinion = Opinion(scores[MIN_GOLD:], scores[:MIN_GOLD])
        found = METHODS["isotonic"](opinion, gold[:MIN_GOLD])
        said.append(np.abs(found.gold - gold[:MIN_GOLD]).mean())
        true.append(np.abs(found.pairs - gold[MIN_GOLD:]).mean())
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.006)


def test_every_fold_spans_the_range_of_gold() -> None:
    """Left out together, the pairs of one gold score would be predicted from the others alone."""
    gold = np.repeat([0.0, 1.0], [MIN_GOLD - FOLDS, FOLDS])
    found = cross_fitted(gold.copy(), gold)
    assert found == pytest.approx(gold)


def test_fifty_gold_pairs_bring_an_annotator_nearer_to_gold() -> None:
    """Ours against plain isotonic regression and against ranks, on pairs that gold never saw."""
    errors, orders = [], []
    for seed in range(40):
        gold, scores = world(MIN_GOLD + 500, seed)
        opinion = Opinion(scores[MIN_GOLD:], scores[:MIN_GOLD])
        plain = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        plain.fit(opinion.gold, gold[:MIN_GOLD])
        found = [
            METHODS["isotonic"](opinion, gold[:MIN_GOLD]).pairs,
            plain.predict(opinion.pairs),
            METHODS["rank"](opinion, gold[:MIN_GOLD]).pairs,
        ]
        errors.append([np.abs(labels - gold[MIN_GOLD:]).mean() for labels in found])
        orders.append([spearmanr(labels, gold[MIN_GOLD:]).statistic for labels in found])
    ours, isotonic, rank = np.mean(errors, axis=0)
    assert ours < isotonic < rank
    ours, isotonic, rank = np.mean(orders, axis=0)
    assert ours == pytest.approx(rank)
    assert isotonic < ours - 0.005


@pytest.mark.parametrize("method", sorted(METHODS))
@given(rows=scored, seed=st.integers(0, 99))
@settings(deadline=None)
def test_calibrated_scores_keep_the_annotators_order_and_lie_in_0_and_1(
    method: str, rows: list[tuple[int, int]], seed: int
) -> None:
    gold, measured = world(MIN_GOLD, seed)
    scores = np.array([row[0] for row in rows], dtype=float) - 100
    opinion = Opinion(scores, measured)
    found = METHODS[method](opinion, gold)  # type: ignore[index]
    assert by_rank(found.pairs) == pytest.approx(by_rank(scores))
    assert ((found.pairs >= 0) & (found.pairs <= 1)).all()
    assert ((found.gold >= 0) & (found.gold <= 1)).all()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_an_annotator_did_not_score_stays_without_and_changes_nothing(method: str) -> None:
    gold, scores = world(100, 1)
    opinion = Opinion(scores[:30].copy(), scores[30:].copy())
    gaps = Opinion(np.append(opinion.pairs, np.nan), np.append(opinion.gold, np.nan))
    found = METHODS[method](gaps, np.append(gold[30:], 0.4))  # type: ignore[index]
    assert np.isnan([found.pairs[-1], found.gold[-1]]).all()
    # One more gold pair may fall into other folds; the map of the pairs is that of those scored.
    without = METHODS[method](opinion, gold[30:])  # type: ignore[index]
    assert found.pairs[:-1] == pytest.approx(without.pairs)


def test_by_rank_a_gold_pair_takes_its_place_among_the_pairs() -> None:
    opinion = Opinion(np.array([1.0, 2.0, 3.0, 4.0]), np.array([-9.0, 2.5, 9.0]))
    found = METHODS["rank"](opinion, np.zeros(3))
    assert found.pairs == pytest.approx(by_rank([1, 2, 3, 4]))
    assert found.gold == pytest.approx([0.5 / 7, 3.5 / 7, 6.5 / 7])


def test_annotators_with_fewer_than_fifty_gold_pairs_are_lacking() -> None:
    scores = np.zeros(MIN_GOLD)
    gap = np.append(scores[1:], np.nan)
    assert calibration.lacking({"enough": scores, "few": scores[1:], "gap": gap}) == ["few", "gap"]


def test_the_report_tells_what_calibration_changed() -> None:
    gold, scores = world(400, 3)
    measured, pairs = scores[:200], scores[200:]
    own = Opinion(pairs, measured)
    unit = Opinion(*(1 / (1 + np.exp(-(part + 100) / 14)) ** 3 for part in own))  # far too low
    opinions = {"own_scale": own, "unit": unit}
    scaled = {name: METHODS["isotonic"](one, gold[:200]) for name, one in opinions.items()}
    found = calibration.report(opinions, scaled, gold[:200])
    for name in opinions:
        before, after = found[name]["before"], found[name]["after"]
        assert after["mae_low"] < after["mae"] < after["mae_high"]
        assert after["mae"] < before["mae"]
        assert after["spearman"] == pytest.approx(before["spearman"], abs=0.05)
        assert before["pairs"] == after["pairs"] == 200
    ranks = by_rank(np.concatenate([measured, pairs]))[:200]
    assert found["own_scale"]["before"]["mae"] == pytest.approx(np.abs(ranks - gold[:200]).mean())
    plain = np.abs(unit.gold - gold[:200]).mean()
    assert found["unit"]["before"]["mae"] == pytest.approx(plain)
    assert found["unit"]["after"]["mae_high"] < found["unit"]["before"]["mae_low"]


def test_an_annotator_without_gold_scores_is_not_in_the_report() -> None:
    opinion = Opinion(np.array([0.1, 0.2]), np.full(60, np.nan))
    assert calibration.report({"a": opinion}, {"a": opinion}, np.linspace(0, 1, 60)) == {}


def test_the_curve_of_true_probabilities_is_the_diagonal_within_its_intervals() -> None:
    held = []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        scores = draw.uniform(size=1_000)
        bins = calibration.curve(scores, (draw.uniform(size=1_000) < scores).astype(float))
        assert len(bins) == 6
        assert sum(point["pairs"] for point in bins) == 1_000
        assert all(166 <= point["pairs"] <= 167 for point in bins)
        assert bins == sorted(bins, key=lambda point: point["predicted"])
        assert all(point["low"] <= point["gold"] <= point["high"] for point in bins)
        held += [point["low"] <= point["predicted"] <= point["high"] for point in bins]
    assert 0.9 < np.mean(held) < 0.99


def test_equal_scores_share_a_bin_and_each_pair_is_in_one() -> None:
    scores = np.repeat([0.1, 0.5, 0.9], [30, 10, 10])
    gold = np.repeat([0.0, 0.4, 1.0], [30, 10, 10])
    bins = calibration.curve(scores, gold)
    assert [(point["predicted"], point["pairs"]) for point in bins] == [
        (pytest.approx(0.1), 30), (pytest.approx(0.5), 10), (pytest.approx(0.9), 10)
    ]  # fmt: skip
    assert [point["gold"] for point in bins] == pytest.approx([0.0, 0.4, 1.0])


def test_too_few_gold_pairs_have_no_quality() -> None:
    assert calibration.quality(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.5, 1.0])) == {}
