"""The rule of the verdict, case by case."""

from __future__ import annotations

import pytest

from pipeline.evaluation.compared import Measured
from pipeline.evaluation.significance import Comparison
from pipeline.evaluation.verdict import Word, decide, signed

ALLOWED = 0.02
Interval = tuple[float, float]


def comparison(low: float, high: float, p_holm: float | None = None) -> Comparison:
    difference = (low + high) / 2
    p = 0.001 if low > 0 or high < 0 else 0.5
    return Comparison(base=0.5, adapted=0.5 + difference, difference=difference, low=low, high=high,
                      minimum_detectable=0.03, p=p, p_holm=p_holm)  # fmt: skip


def row(name: str, interval: Interval, **changed: object) -> Measured:
    kinds = {"gold": ("domain", "graded", "spearman"), "search": ("domain", "retrieval", "ndcg@10"),
             "general": ("general", "graded", "spearman")}  # fmt: skip
    role, kind, measure = kinds[name]
    given = {"name": name, "role": role, "kind": kind, "measure": measure, "items": 100,
             "texts": 400 if kind == "retrieval" else 0, "found": comparison(*interval),
             "allowed_loss": ALLOWED}  # fmt: skip
    return Measured.model_validate(given | changed)


def word(**intervals: Interval) -> Word:
    return decide([row(name, interval) for name, interval in intervals.items()]).word


GAIN, NOISE, LOSS = (0.01, 0.05), (-0.02, 0.03), (-0.06, -0.01)
SAFE, BETTER, WORSE, UNSURE = (-0.015, 0.01), (0.01, 0.04), (-0.09, -0.03), (-0.05, 0.01)
TOUCHING_ZERO, TOUCHING_ALLOWED, LOSS_TOUCHING_ALLOWED = (0.0, 0.05), (-0.02, 0.01), (-0.05, -0.02)

WITH_GOLD = [
    (GAIN, SAFE, "ship"),
    (GAIN, BETTER, "ship"),
    (GAIN, UNSURE, "inconclusive"),
    (GAIN, WORSE, "regress"),
    (NOISE, BETTER, "inconclusive"),
    (NOISE, SAFE, "inconclusive"),
    (NOISE, UNSURE, "inconclusive"),
    (NOISE, WORSE, "regress"),
    (LOSS, BETTER, "regress"),
    (LOSS, UNSURE, "regress"),
    (LOSS, WORSE, "regress"),
    (TOUCHING_ZERO, BETTER, "inconclusive"),
    (GAIN, TOUCHING_ALLOWED, "inconclusive"),
    (GAIN, LOSS_TOUCHING_ALLOWED, "inconclusive"),
    ((-0.05, 0.0), SAFE, "inconclusive"),
    ((0.0, 0.0), (0.0, 0.0), "inconclusive"),
]

WITHOUT_GOLD = [
    (BETTER, "ship"),
    (SAFE, "inconclusive"),
    (NOISE, "inconclusive"),
    (LOSS, "regress"),
    ((-0.015, -0.001), "regress"),  # within the allowed loss, but nothing was gained for it
    ((0.0, 0.02), "inconclusive"),
    ((-0.02, 0.0), "inconclusive"),
]

# A general set need not rule a loss out: it must not show one.
WITH_GENERAL = [
    (BETTER, "ship"),
    (SAFE, "ship"),
    (UNSURE, "ship"),
    (TOUCHING_ALLOWED, "ship"),
    (LOSS_TOUCHING_ALLOWED, "ship"),
    (WORSE, "regress"),
]


@pytest.mark.parametrize(("gold", "search", "expected"), WITH_GOLD)
def test_a_gain_ships_unless_retrieval_may_have_paid_for_it(
    gold: Interval, search: Interval, expected: str
) -> None:
    assert word(gold=gold, search=search) == expected


@pytest.mark.parametrize(("search", "expected"), WITHOUT_GOLD)
def test_without_gold_retrieval_alone_decides_and_says_so(search: Interval, expected: str) -> None:
    verdict = decide([row("search", search)])

    assert verdict.word == expected
    assert verdict.reasons[0] == "There are no gold pairs: nDCG@10 on search decides."


@pytest.mark.parametrize(("general", "expected"), WITH_GENERAL)
def test_what_is_shown_to_be_forgotten_beyond_the_allowed_does_not_ship(
    general: Interval, expected: str
) -> None:
    assert word(gold=GAIN, search=SAFE, general=general) == expected


def test_a_general_gain_is_no_gain_of_the_domain() -> None:
    assert word(gold=NOISE, search=SAFE, general=BETTER) == "inconclusive"


def test_the_order_of_guards_does_not_matter() -> None:
    assert word(general=WORSE, gold=GAIN, search=SAFE) == "regress"
    assert word(general=UNSURE, gold=GAIN, search=SAFE) == "ship"


def test_each_set_has_its_own_allowed_loss() -> None:
    lenient = row("general", WORSE, allowed_loss=0.1)
    assert decide([row("gold", GAIN), lenient]).word == "ship"
    assert decide([row("gold", GAIN), row("search", SAFE, allowed_loss=0.0)]).word == "inconclusive"
    assert decide([row("gold", GAIN), row("search", LOSS, allowed_loss=0.0)]).word == "regress"


def test_a_gain_has_to_stand_against_all_sets_that_were_looked_at() -> None:
    found = decide([row("gold", GAIN, found=comparison(*GAIN, p_holm=0.06)), row("search", SAFE)])

    assert found.word == "inconclusive"
    assert "once all sets are counted (p 0.060)" in found.reasons[0]
    kept = decide([row("gold", GAIN, found=comparison(*GAIN, p_holm=0.04)), row("search", SAFE)])
    assert kept.word == "ship"


def test_the_reasons_are_sentences_with_the_figures() -> None:
    gold, search, general = decide(
        [row("gold", (0.01, 0.05)), row("search", (-0.05, 0.01)), row("general", (-0.05, 0.01))]
    ).reasons

    assert gold == (
        "On gold (100 pairs), Spearman's ρ rose from 0.500 to 0.530 "
        "(+0.030, 95 % interval +0.010 to +0.050): a real gain."
    )
    assert search == (
        "On search (100 queries over 400 texts), nDCG@10 fell from 0.500 to 0.480 "
        "(−0.020, 95 % interval −0.050 to +0.010): a loss beyond the allowed loss of 0.02 "
        "cannot be ruled out."
    )
    assert general.endswith(
        "no loss beyond the allowed loss of 0.02 is shown; one of up to 0.050 cannot be ruled out."
    )


def test_noise_is_stated_with_what_could_have_been_told_from_it() -> None:
    reason = decide([row("gold", NOISE), row("search", SAFE)], confidence=0.9).reasons[0]

    assert "90 % interval" in reason
    assert "this set can tell 0.030 from noise" in reason


def test_a_negative_number_has_a_true_minus() -> None:
    assert (signed(-0.0412), signed(0.5)) == ("−0.041", "+0.500")
