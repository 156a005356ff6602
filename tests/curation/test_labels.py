"""From opinions to labels: methods, combinations, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from pipeline.curation.calibration import METHODS, MIN_GOLD, Opinion
from pipeline.curation.combine import COMBINATIONS
from pipeline.curation.labels import Panel, combined, findings, panel
from pipeline.errors import ConfigError, InputError
from pipeline.sections import CurateSettings

Floats = NDArray[np.float64]
RHO = {"good": 0.85, "fair": 0.6, "noise": 0.0}


def curate(**settings: Any) -> CurateSettings:
    return CurateSettings.model_validate(settings)


def world(gold: int = 80, pairs: int = 400, seed: int = 0) -> tuple[dict[str, Opinion], Floats]:
    """Return annotators with scales of their own, and gold of gold pairs, then of pairs."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=gold + pairs)  # most are unlike
    opinions = {}
    for number, (name, rho) in enumerate(RHO.items()):
        scores = rho * truth + np.sqrt(1 - rho**2) * draw.normal(size=len(truth))
        scores = 3.0**number * scores - 20 * number
        opinions[name] = Opinion(scores[gold:], scores[:gold])
    return opinions, np.rint(5 / (1 + np.exp(1.8 - 1.5 * truth))) / 5


def heard(own: dict[str, Opinion], gold: Floats, settings: CurateSettings) -> Panel:
    measured = len(next(iter(own.values())).gold)
    return panel(own, gold[:measured], settings)


def error(settings: CurateSettings, seed: int) -> tuple[float, float]:
    """Return the mean absolute error and Spearman's rho of labels of pairs outside the gold set."""
    own, gold = world(seed=seed)
    labels = combined(heard(own, gold, settings), settings).pairs
    return (
        float(np.abs(labels - gold[80:]).mean()),
        float(spearmanr(labels, gold[80:]).statistic),
    )


@pytest.mark.parametrize("calibrate", ["auto", "rank", "isotonic"])
def test_the_blend_is_the_mean_of_the_ranks_whatever_gold_says(calibrate: str) -> None:
    own, gold = world()
    settings = curate(calibrate=calibrate, weights={"good": 2.0})
    labels = combined(heard(own, gold, settings), settings)
    weights = {"good": 2.0, "fair": 1.0, "noise": 1.0}
    total = sum(weights[name] * rankdata(one.pairs) for name, one in own.items())
    assert labels.pairs == pytest.approx((rankdata(total) - 0.5) / 400)


def test_a_gold_pair_has_the_label_it_would_have_among_the_pairs() -> None:
    own, gold = world()
    settings = curate()
    labels = combined(heard(own, gold, settings), settings)
    total = sum(rankdata(np.concatenate(one)) for one in own.values())
    assert labels.gold == pytest.approx((rankdata(total) - 0.5)[400:] / 480)


@pytest.mark.parametrize("combine", sorted({*COMBINATIONS} - {"blend"}))
def test_labels_calibrated_to_gold_are_nearer_to_it_than_ranks(combine: str) -> None:
    by_gold = [error(curate(combine=combine), seed)[0] for seed in range(12)]
    by_rank = [error(curate(combine=combine, calibrate="rank"), seed)[0] for seed in range(12)]
    assert np.mean(by_gold) < np.mean(by_rank) - 0.05


def test_weights_by_gold_silence_noise() -> None:
    found = {
        name: np.mean([error(curate(combine=name), seed)[1] for seed in range(12)])
        for name in ("gold_weighted", "mean", "blend")
    }
    assert found["gold_weighted"] > found["mean"] + 0.01
    assert found["mean"] > found["blend"] + 0.05


def test_weights_of_the_settings_and_of_gold_multiply() -> None:
    own, gold = world()
    settings = curate(combine="gold_weighted", calibrate="rank", weights={"good": 0.0})
    voices = heard(own, gold, settings)
    rho = {name: spearmanr(own[name].gold, gold[:80]).statistic for name in ("fair", "noise")}
    earned = {name: np.arctanh(max(0.01, value)) for name, value in rho.items()}
    mean = sum(earned[name] * voices.scaled[name].pairs for name in earned) / sum(earned.values())
    assert combined(voices, settings).pairs == pytest.approx(mean)


def test_annotators_that_order_gold_no_better_than_chance_cannot_be_weighted_by_it() -> None:
    own, gold = world()
    turned = {"upside_down": Opinion(-own["good"].pairs, -own["good"].gold)}
    settings = curate(combine="gold_weighted")
    with pytest.raises(InputError, match="no annotator orders the gold dev pairs better than cha"):
        combined(heard(turned, gold, settings), settings)


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"calibrate": "isotonic"}, "calibrate: isotonic"),
     ({"combine": "gold_weighted"}, "combine: gold_weighted"),
     ({"combine": "gold_weighted", "calibrate": "rank"}, "combine: gold_weighted")],
)  # fmt: skip
def test_what_needs_gold_is_refused_without_fifty_gold_pairs(
    settings: dict[str, str], key: str
) -> None:
    own, gold = world(MIN_GOLD - 1)
    telling = rf"curate\.{key} .*: fewer than 50 gold dev pairs are scored by good, fair, noise;"
    with pytest.raises(ConfigError, match=telling):
        heard(own, gold, curate(**settings))


def test_one_annotator_without_enough_gold_leaves_all_by_rank() -> None:
    own, gold = world(MIN_GOLD)
    own["fair"].gold[7] = np.nan
    voices = heard(own, gold, curate())
    assert voices.method == "rank"
    assert voices.reason == "fewer than 50 gold dev pairs are scored by fair"
    with pytest.raises(ConfigError, match="are scored by fair; add pairs or choose another"):
        heard(own, gold, curate(calibrate="isotonic"))


def with_a_person(opinions: dict[str, Opinion], gold: Floats) -> dict[str, Opinion]:
    """Return the annotators and a person who graded the first 40 pairs, and no gold pair."""
    grades = np.where(np.arange(400) < 40, gold[80:], np.nan)
    return opinions | {"person": Opinion(grades, np.full(80, np.nan))}


@pytest.mark.parametrize("calibrate", ["auto", "isotonic"])
def test_a_persons_grades_are_taken_as_given_beside_calibrated_scores(calibrate: str) -> None:
    own, gold = world()
    everyone = with_a_person(own, gold)
    voices = heard(everyone, gold, curate(calibrate=calibrate))
    assert voices.method == "isotonic"
    assert voices.scaled["person"] is everyone["person"]
    expected = METHODS["isotonic"](own["fair"], gold[:80])
    assert voices.scaled["fair"].pairs == pytest.approx(expected.pairs)


@pytest.mark.parametrize("combine", ["mean", "median", "gold_weighted"])
def test_a_person_who_is_asked_about_some_pairs_mends_their_labels(combine: str) -> None:
    own, gold = world()
    errors = []
    for opinions in (own, with_a_person(own, gold)):
        weights = {"person": 9.0} if len(opinions) > len(own) else {}
        settings = curate(combine=combine, min_opinions=3, weights=weights)
        labels = combined(heard(opinions, gold, settings), settings).pairs
        errors.append(np.abs(labels - gold[80:]))
    without, mended = errors
    assert mended[:40].mean() < without[:40].mean() / 2
    assert mended[40:].mean() < without[40:].mean() + 0.02


def test_a_pair_that_a_useless_annotator_alone_scored_has_a_label() -> None:
    own, gold = world()
    own["noise"] = Opinion(own["noise"].pairs, -own["good"].gold)  # worse than chance
    own["good"].pairs[5] = own["fair"].pairs[5] = np.nan
    settings = curate(combine="gold_weighted", min_opinions=1)
    labels = combined(heard(own, gold, settings), settings).pairs
    assert 0 <= labels[5] <= 1


@pytest.mark.parametrize(
    ("gold_pairs", "calibrate", "method", "reason"),
    [(MIN_GOLD, "auto", "isotonic", ""), (MIN_GOLD, "isotonic", "isotonic", ""),
     (MIN_GOLD, "rank", "rank", ""), (0, "rank", "rank", ""),
     (MIN_GOLD - 1, "auto", "rank", "fewer than 50 gold dev pairs are scored by good, fair, noise"),
     (0, "auto", "rank", "fewer than 50 gold dev pairs are scored by good, fair, noise")],
)  # fmt: skip
def test_auto_calibrates_to_gold_where_there_are_fifty_pairs_of_it(
    gold_pairs: int, calibrate: str, method: str, reason: str
) -> None:
    own, gold = world(gold_pairs)
    voices = heard(own, gold, curate(calibrate=calibrate))
    assert (voices.method, voices.reason) == (method, reason)
    for name, opinion in own.items():
        expected = METHODS[method](opinion, gold[:gold_pairs])  # type: ignore[index]
        assert voices.scaled[name].pairs == pytest.approx(expected.pairs)


@pytest.mark.parametrize("combine", sorted(COMBINATIONS))
def test_gold_pairs_without_enough_opinions_have_no_label(combine: str) -> None:
    own, gold = world()
    own["fair"].gold[:3] = np.nan
    for settings, silent in (
        (curate(combine=combine), [0, 1, 2]),
        (curate(combine=combine, min_opinions=2), []),
        (curate(combine=combine, weights={"fair": 0.0}), []),
    ):
        labels = combined(heard(own, gold, settings), settings)
        assert np.flatnonzero(np.isnan(labels.gold)).tolist() == silent
        assert not np.isnan(labels.pairs).any()


@pytest.mark.parametrize("combine", sorted(COMBINATIONS))
def test_the_findings_are_plain_data_about_every_annotator_and_the_labels(combine: str) -> None:
    own, gold = world()
    settings = curate(combine=combine)
    voices = heard(own, gold, settings)
    found = findings(voices, combined(voices, settings), settings)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["agreement"]) == [*RHO, combine]
    for name, opinion in own.items():
        rho = spearmanr(opinion.gold, gold[:80]).statistic
        assert found["agreement"][name]["spearman"] == pytest.approx(rho)
    assert found["agreement"]["good"]["kappa"] > found["agreement"]["noise"]["kappa"] + 0.3
    assert [(row["a"], row["b"]) for row in found["between"]] == [
        ("fair", "good"), ("fair", "noise"), ("good", "noise")
    ]  # fmt: skip
    assert set(found["krippendorff"]) == {"interval", "ordinal"}
    calibration = found["calibration"]
    assert (calibration["method"], calibration["gold_pairs"]) == ("isotonic", 80)
    assert set(calibration["annotators"]) == set(RHO)
    for both in calibration["annotators"].values():
        assert both["after"]["mae"] < both["before"]["mae"]
    fair = calibration["annotators"]["fair"]["after"]
    assert calibration["labels"]["spearman"] > fair["spearman"]
    assert found["agreement"][combine]["kappa"] == calibration["labels"]["kappa"]


def test_without_gold_there_is_agreement_between_annotators_alone() -> None:
    own, gold = world(0)
    settings = curate()
    voices = heard(own, gold, settings)
    found = findings(voices, combined(voices, settings), settings)
    assert found["agreement"] == {}
    assert len(found["between"]) == 3
    assert found["calibration"]["annotators"] == found["calibration"]["labels"] == {}


def test_leaving_pairs_out_leaves_the_calibration_of_the_others() -> None:
    own, gold = world()
    voices = heard(own, gold, curate())
    kept = np.arange(400) % 3 > 0
    found = voices.only(kept)
    for name, opinion in voices.scaled.items():
        assert found.scaled[name].pairs.tolist() == opinion.pairs[kept].tolist()
        assert found.scaled[name].gold is opinion.gold
        assert found.own[name].pairs.tolist() == own[name].pairs[kept].tolist()
