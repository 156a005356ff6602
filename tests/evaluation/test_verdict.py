"""The rule of the verdict, case by case."""

from __future__ import annotations

import pytest

from pipeline.evaluation.significance import Comparison
from pipeline.evaluation.verdict import decide, signed

ALLOWED = 0.02


def comparison(low: float, high: float) -> Comparison:
    difference = (low + high) / 2
    return Comparison(base=0.5, adapted=0.5 + difference, difference=difference, low=low, high=high,
                      minimum_detectable=0.03)  # fmt: skip


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


@pytest.mark.parametrize(("gold", "retrieval", "expected"), WITH_GOLD)
def test_a_gain_ships_unless_retrieval_may_have_paid_for_it(
    gold: tuple[float, float], retrieval: tuple[float, float], expected: str
) -> None:
    verdict = decide(comparison(*gold), comparison(*retrieval), ALLOWED)

    assert verdict.word == expected
    assert len(verdict.reasons) == 2


@pytest.mark.parametrize(("retrieval", "expected"), WITHOUT_GOLD)
def test_without_gold_retrieval_alone_decides_and_says_so(
    retrieval: tuple[float, float], expected: str
) -> None:
    verdict = decide(None, comparison(*retrieval), ALLOWED)

    assert verdict.word == expected
    assert verdict.reasons[0] == "There is no gold set: retrieval alone decides."


def test_an_allowed_loss_of_nothing_is_a_bound_like_any_other() -> None:
    assert decide(comparison(*GAIN), comparison(*SAFE), 0.0).word == "inconclusive"
    assert decide(comparison(*GAIN), comparison(*BETTER), 0.0).word == "ship"
    assert decide(comparison(*GAIN), comparison(*LOSS), 0.0).word == "regress"


def test_the_reasons_are_sentences_with_the_figures() -> None:
    gold, retrieval = decide(comparison(0.01, 0.05), comparison(-0.05, 0.01), ALLOWED).reasons

    assert gold == (
        "Spearman's ρ on the gold pairs rose from 0.500 to 0.530 "
        "(+0.030, 95 % interval +0.010 to +0.050): a real gain."
    )
    assert retrieval == (
        "Retrieval nDCG@10 fell from 0.500 to 0.480 "
        "(−0.020, 95 % interval −0.050 to +0.010): a loss beyond the allowed loss of 0.02 "
        "cannot be ruled out."
    )


def test_noise_is_stated_with_what_could_have_been_told_from_it() -> None:
    reason = decide(comparison(*NOISE), comparison(*SAFE), ALLOWED, confidence=0.9).reasons[0]

    assert "90 % interval" in reason
    assert "this set can tell 0.030 from noise" in reason


def test_a_negative_number_has_a_true_minus() -> None:
    assert (signed(-0.0412), signed(0.5)) == ("−0.041", "+0.500")
