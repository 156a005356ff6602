"""The verdict: from figures to ``ship``, ``inconclusive`` or ``regress``, with reasons in words.

The rule, with a gold set. Two differences (adapted less base) count, each with its interval: ρ with
the gold pairs, and nDCG@10 of retrieval. Retrieval may lose up to an allowed amount, because it is
a guard and not the aim.

* ``regress``: the gold interval lies entirely below 0, or the retrieval interval lies entirely
  below minus the allowed loss. Either is enough: the adapted model is measurably worse.
* ``ship``: the gold interval lies entirely above 0, and the retrieval interval lies entirely above
  minus the allowed loss. Both are needed: a measured gain, and a loss beyond the allowed ruled out.
* ``inconclusive``: everything else. The figures do not settle the question, and more gold pairs or
  queries, or another training, would have to.

Without a gold set retrieval alone decides, and there is no gain elsewhere that a loss could be
traded for: ``ship`` when its interval lies entirely above 0, ``regress`` when entirely below 0,
``inconclusive`` otherwise.

An interval that touches a bound is not beyond it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pipeline.evaluation.significance import Comparison

Word = Literal["ship", "inconclusive", "regress"]


class Verdict(NamedTuple):
    """One word, and the sentences that say why."""

    word: Word
    reasons: tuple[str, ...]


class _Opinion(NamedTuple):
    word: Word
    reason: str


def decide(
    gold: Comparison | None, retrieval: Comparison, allowed_loss: float, confidence: float = 0.95
) -> Verdict:
    """Return the verdict on an adapted model; ``gold`` is None when there is no gold set."""
    if gold is None:
        found = _gain("retrieval nDCG@10", retrieval, confidence)
        return Verdict(found.word, ("There is no gold set: retrieval alone decides.", found.reason))
    opinions = (_gain("Spearman's ρ on the gold pairs", gold, confidence),
                _guard(retrieval, allowed_loss, confidence))  # fmt: skip
    words = {opinion.word for opinion in opinions}
    word: Word = "ship" if words == {"ship"} else "inconclusive"
    return Verdict("regress" if "regress" in words else word, tuple(o.reason for o in opinions))


def _gain(measure: str, found: Comparison, confidence: float) -> _Opinion:
    stated = _stated(measure, found, confidence)
    if found.low > 0:
        return _Opinion("ship", f"{stated}: a real gain.")
    if found.high < 0:
        return _Opinion("regress", f"{stated}: a real loss.")
    smallest = f"this set can tell {found.minimum_detectable:.3f} from noise"
    return _Opinion("inconclusive", f"{stated}: not told from noise ({smallest}).")


def _guard(found: Comparison, allowed_loss: float, confidence: float) -> _Opinion:
    stated = _stated("retrieval nDCG@10", found, confidence)
    allowed = f"the allowed loss of {allowed_loss:g}"
    if found.low > -allowed_loss:
        return _Opinion("ship", f"{stated}: a loss beyond {allowed} is ruled out.")
    if found.high < -allowed_loss:
        return _Opinion("regress", f"{stated}: a loss beyond {allowed}.")
    return _Opinion("inconclusive", f"{stated}: a loss beyond {allowed} cannot be ruled out.")


def _stated(measure: str, found: Comparison, confidence: float) -> str:
    change = "rose" if found.difference > 0 else "fell" if found.difference < 0 else "stayed"
    path = f"{change} from {found.base:.3f} to {found.adapted:.3f}"
    bounds = f"{signed(found.low)} to {signed(found.high)}"
    interval = f"{signed(found.difference)}, {100 * confidence:g} % interval {bounds}"
    return f"{measure[0].upper()}{measure[1:]} {path} ({interval})"


def signed(value: float) -> str:
    """Return ``value`` with three decimals and its sign, a true minus among them."""
    return f"{value:+.3f}".replace("-", "−")
