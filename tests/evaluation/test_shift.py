"""Old scores to new ones, and thresholds: against sorting, counting and looping over everything."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.shift import Options, Shift, map_score, quantile_table, score_shift
from pipeline.evaluation.threshold import recommend

Floats = NDArray[np.float64]
COSINES = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 6))
BOTH = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*(st.lists(COSINES, min_size=n, max_size=n) for _ in range(2)))
)
QUICK = Bootstrap(300, 0.95, 1)


def scores(pairs: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Return cosines of a saturated base and of a wider adapted model, and gold scores."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 6, pairs) / 5
    base = 0.85 + 0.1 * gold + generator.normal(scale=0.03, size=pairs)
    adapted = 0.2 + 0.7 * gold + generator.normal(scale=0.08, size=pairs)
    return np.clip(base, -1, 1), np.clip(adapted, -1, 1), gold


@given(BOTH)
@settings(deadline=None)
def test_the_map_is_monotone_over_all_cosines_and_stays_among_them(
    both: tuple[list[float], list[float]],
) -> None:
    table = quantile_table(np.array(both[0]), np.array(both[1]))
    found = np.array([map_score(table, old) for old in np.linspace(-1, 1, 301)])

    assert (np.diff(table.old) > 0).all()
    assert (np.diff(found) >= 0).all()
    assert found.min() >= -1
    assert found.max() <= 1
    assert (table.old[0], table.old[-1]) == (-1.0, 1.0)


@given(BOTH)
@settings(deadline=None)
def test_the_map_takes_own_quantiles_to_those_of_the_other_model(
    both: tuple[list[float], list[float]],
) -> None:
    base, adapted = map(np.array, both)
    table = quantile_table(base, adapted)
    levels = np.linspace(0, 1, 101)
    old, new = (np.quantile(side, levels, method="linear") for side in (base, adapted))
    for value in old:
        same = new[np.abs(old - value) < 1e-9]  # one, but where pairs share a score
        found = map_score(table, float(value))
        assert same.min() - 1e-6 <= found <= same.max() + 1e-6


@given(BOTH, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_pairs_does_not_matter(
    both: tuple[list[float], list[float]], random: Random
) -> None:
    rows = list(zip(*both, [i % 3 / 2 for i in range(len(both[0]))], strict=True))
    mixed = list(rows)
    random.shuffle(mixed)
    options = Options(threshold=0.3, bootstrap=Bootstrap(2, 0.9, 1))
    one, other = (
        score_shift(base, adapted, gold, options)
        for base, adapted, gold in (np.array(given).T for given in (rows, mixed))
    )
    varying = {"recommended", "rank_agreement"}  # a resample draws by place; sums round
    left, right = (found.model_dump(exclude=varying) for found in (one, other))
    for name in ("base", "adapted"):
        for key in ("mean", "sd"):
            assert left[name].pop(key) == pytest.approx(right[name].pop(key))
    assert left == right
    assert one.recommended is not None
    assert other.recommended is not None
    for name in ("base", "adapted"):
        fixed = {"reachable", "threshold", "precision", "recall", "above", "best_precision"}
        assert one.recommended[name].model_dump(include=fixed) == other.recommended[
            name
        ].model_dump(include=fixed)


def test_a_monotone_change_of_scores_is_found_by_the_map() -> None:
    base = np.random.default_rng(3).uniform(0.8, 1.0, 20_000)
    table = quantile_table(base, (base - 0.5) ** 2)
    for old in (0.82, 0.9, 0.99):
        assert map_score(table, old) == pytest.approx((old - 0.5) ** 2, abs=0.002)
    assert map_score(table, 1.0) == 1.0
    assert map_score(table, -1.0) == -1.0
    assert map_score(table, 0.9) == float(np.interp(0.9, table.old, table.new))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=80),
    st.sampled_from([0.5, 0.7, 0.9]),
)
@settings(max_examples=60, deadline=None)
def test_the_recommended_threshold_is_the_lowest_that_keeps_the_target(
    rows: list[tuple[int, bool]], target: float
) -> None:
    cosines = np.array([cosine / 30 for cosine, _ in rows])
    positive = np.array([float(same) for _, same in rows])
    kept = {}
    for threshold in set(cosines[positive == 1].tolist()):
        above = cosines >= threshold
        if above.sum() >= 10 and positive[above].mean() >= target - 1e-9:
            kept[threshold] = (positive[above].sum(), above.sum())
    found = recommend(cosines, positive, target, Bootstrap(20, 0.9, 1))

    assert found.reachable == bool(kept)
    if not kept:
        assert found.threshold is None
        return
    most = max(true for true, _ in kept.values())
    lowest = min(t for t, (true, _) in kept.items() if true == most)
    assert found.threshold is not None
    above = cosines >= found.threshold
    assert above.sum() >= 10
    assert positive[above].mean() == found.precision
    assert found.precision is not None
    assert found.precision >= target - 1e-9
    assert positive[above].sum() == most
    assert found.recall == pytest.approx(most / positive.sum())
    assert found.above == above.sum()
    # No pair lies between it and the lowest pair it lets through; it is not above that pair.
    least = cosines[above].min()
    assert lowest <= least
    assert found.threshold <= least


def test_the_interval_of_the_threshold_is_that_of_resampled_pairs_thresholds() -> None:
    base, _, gold = scores(300)
    positive = (gold >= 0.8).astype(float)
    generator = np.random.default_rng(9)

    def slow(rows: NDArray[np.intp]) -> float:
        order = rows[np.argsort(-base[rows], kind="stable")]
        true, least = np.cumsum(positive[order]), base[order]
        kept = [
            least[i]
            for i in range(9, len(order))
            if true[i] >= 0.7 * (i + 1) and (i + 1 == len(order) or least[i + 1] < least[i])
        ]
        return min(kept, default=np.nan)

    drawn = np.array([slow(generator.integers(0, 300, 300)) for _ in range(1_500)])
    found = recommend(base, positive, 0.7, Bootstrap(3_000, 0.9, 1))
    assert found.low == pytest.approx(np.nanquantile(drawn, 0.05), abs=0.004)
    assert found.high == pytest.approx(np.nanquantile(drawn, 0.95), abs=0.004)
    assert found.reached == pytest.approx(np.mean(~np.isnan(drawn)), abs=0.03)
    assert found.threshold is not None
    inside = base >= found.threshold
    spread = np.sqrt(0.7 * 0.3 / inside.sum())
    assert found.precision_high is not None
    assert found.precision_low is not None
    assert found.precision_high - found.precision_low == pytest.approx(3.29 * spread, rel=0.15)


def test_an_adapted_model_that_tells_more_apart_reaches_more_at_the_same_precision() -> None:
    cosines, others, gold = scores(600)
    found = score_shift(cosines, others, gold, Options(bootstrap=QUICK))
    assert found.recommended is not None
    base, adapted = found.recommended["base"], found.recommended["adapted"]
    assert adapted.reachable
    assert adapted.recall is not None
    assert adapted.recall > (base.recall or 0) + 0.2
    assert found.base.mean > 0.85 > found.adapted.mean
    assert sum(found.base.counts) == sum(found.adapted.counts) == 600
    assert sum(found.base.positives) == found.positives
    assert len(found.edges) == len(found.base.counts) + 1
    assert Shift.model_validate_json(found.model_dump_json()) == found


def test_a_precision_that_no_threshold_keeps_is_said_to_be_out_of_reach() -> None:
    generator = np.random.default_rng(4)
    gold = np.where(generator.uniform(size=400) < 0.3, 1.0, 0.0)
    base, adapted = generator.uniform(size=(2, 400))
    found = score_shift(base, adapted, gold, Options(bootstrap=QUICK))
    assert found.recommended is not None
    threshold = found.recommended["base"]
    assert not threshold.reachable
    assert threshold.threshold is threshold.precision is threshold.low is None
    assert threshold.best_precision is not None
    assert 0.3 < threshold.best_precision < 0.9
    assert threshold.reached < 0.5
    none = score_shift(base[:40], adapted[:40], np.zeros(40), Options(bootstrap=QUICK))
    assert none.recommended is not None
    assert none.recommended["adapted"].best_precision is None
    assert "0 positive pairs are too few" in " ".join(none.notes)


def test_the_threshold_in_use_is_carried_over() -> None:
    base, adapted, gold = scores(1_000)
    found = score_shift(base, adapted, gold, Options(threshold=0.93, bootstrap=QUICK)).present
    assert found is not None
    assert found.base.above == np.mean(base >= 0.93)
    assert found.adapted.above == pytest.approx(found.base.above, abs=0.011)
    assert found.adapted.threshold == map_score(quantile_table(base, adapted), 0.93)
    same = gold >= 0.8
    assert found.base.precision == same[base >= 0.93].mean()
    above = adapted >= found.adapted.threshold
    assert found.adapted.recall == pytest.approx(above[same].mean())
    assert found.same_side == np.mean((base >= 0.93) == above)


def test_pairs_without_a_gold_score_take_part_in_the_map_alone() -> None:
    base, adapted, gold = scores(400)
    some = np.where(np.arange(400) < 150, gold, np.nan)
    mixed = score_shift(base, adapted, some, Options(bootstrap=QUICK))
    alone = score_shift(base[:150], adapted[:150], gold[:150], Options(bootstrap=QUICK))
    none = score_shift(base, adapted)

    assert mixed.recommended == alone.recommended
    assert (mixed.pairs, mixed.labelled) == (400, 150)
    assert mixed.table == none.table
    assert mixed.table != alone.table
    assert none.recommended is None
    assert none.base.positives == ()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="no pairs"):
        score_shift(np.array([]), np.array([]))
    with pytest.raises(InputError, match="2 gold scores for 3 pairs"):
        score_shift(np.zeros(3), np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="3 values against 2"):
        score_shift(np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="is nan"):
        score_shift(np.array([0.1, np.nan]), np.zeros(2))
