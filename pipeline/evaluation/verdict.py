"""The verdict: from figures to ``ship``, ``inconclusive`` or ``regress``, with reasons in words.

The rule. The first set of the domain (the gold pairs when there are any, else the first set of
one's own, else the search among held-out texts) is what the model is adapted for: its difference,
adapted less base, is the *gain*. Every other set is a *guard*, which may lose up to its allowed
loss, because it is not the aim.

* ``regress``: the interval of the gain lies entirely below 0, or that of a guard entirely below
  minus its allowed loss. Any of these is enough: the adapted model is measurably worse.
* ``ship``: the interval of the gain lies entirely above 0, and its p-value, corrected over all sets
  (Holm), is below 1 less the confidence; on the other sets of the domain a loss beyond the allowed
  is ruled out (the interval lies entirely above minus the allowed loss); and no general set is
  measurably worse than its allowed loss. All are needed.
* ``inconclusive``: everything else. The figures do not settle the question, and more gold pairs or
  queries, or another training, would have to.

The two corrections lean the same way: a gain has to stand against all that was looked at, a loss
has not to. How large a loss on a general set cannot be ruled out is part of the reasons. An
interval that touches a bound is not beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipeline.evaluation.compared import NAMES, Measured, about
from pipeline.evaluation.significance import Comparison

Word = Literal["ship", "inconclusive", "regress"]


class Verdict(NamedTuple):
    """One word, and the sentences that say why."""

    word: Word
    reasons: tuple[str, ...]


class _Opinion(NamedTuple):
    word: Word
    reason: str


def decide(sets: Sequence[Measured], confidence: float = 0.95) -> Verdict:
    """Return the verdict on an adapted model; the first set of the domain carries the gain."""
    aim = next(row for row in sets if row.role == "domain")
    opinions = [_gain(aim, confidence)]
    opinions += [_guard(row, confidence) for row in sets if row is not aim]
    words = {opinion.word for opinion in opinions}
    word: Word = "ship" if words == {"ship"} else "inconclusive"
    reasons = [opinion.reason for opinion in opinions]
    if aim.kind == "retrieval":
        reasons.insert(0, f"There are no gold pairs: {NAMES[aim.measure]} on {aim.name} decides.")
    return Verdict("regress" if "regress" in words else word, tuple(reasons))


def _gain(row: Measured, confidence: float) -> _Opinion:
    found, stated = row.found, _stated(row, confidence)
    corrected = found.p if found.p_holm is None else found.p_holm
    if found.high < 0:
        return _Opinion("regress", f"{stated}: a real loss.")
    if found.low > 0 and corrected < 1 - confidence:
        return _Opinion("ship", f"{stated}: a real gain.")
    if found.low > 0:
        several = f"not told from noise once all sets are counted (p {corrected:.3f})"
        return _Opinion("inconclusive", f"{stated}: {several}.")
    smallest = f"this set can tell {found.minimum_detectable:.3f} from noise"
    return _Opinion("inconclusive", f"{stated}: not told from noise ({smallest}).")


def _guard(row: Measured, confidence: float) -> _Opinion:
    stated, found = _stated(row, confidence), row.found
    allowed = f"the allowed loss of {row.allowed_loss:g}"
    if found.high < -row.allowed_loss:
        return _Opinion("regress", f"{stated}: a loss beyond {allowed}.")
    if found.low > -row.allowed_loss:
        return _Opinion("ship", f"{stated}: a loss beyond {allowed} is ruled out.")
    if row.role == "general":
        bound = f"one of up to {-found.low:.3f} cannot be ruled out"
        return _Opinion("ship", f"{stated}: no loss beyond {allowed} is shown; {bound}.")
    return _Opinion("inconclusive", f"{stated}: a loss beyond {allowed} cannot be ruled out.")


def _stated(row: Measured, confidence: float) -> str:
    found: Comparison = row.found
    change = "rose" if found.difference > 0 else "fell" if found.difference < 0 else "stayed"
    path = f"{change} from {found.base:.3f} to {found.adapted:.3f}"
    bounds = f"{signed(found.low)} to {signed(found.high)}"
    interval = f"{signed(found.difference)}, {100 * confidence:g} % interval {bounds}"
    return f"On {row.name} ({about(row)}), {NAMES[row.measure]} {path} ({interval})"


def signed(value: float) -> str:
    """Return ``value`` with three decimals and its sign, a true minus among them."""
    return f"{value:+.3f}".replace("-", "−")
