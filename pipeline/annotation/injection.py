"""How many labels an attack in the texts moves: the measure of a prompt's resistance.

The same questions are asked with clean and with attacked texts. Noise moves labels too, so the
share of a second clean run belongs beside the share of the attacked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from scipy.stats import binomtest

from pipeline.errors import InputError

CONFIDENCE: Final = 0.95


class Share(NamedTuple):
    """Share of labels that moved, and the interval it lies in; all in [0, 1].

    ``compared`` labels had a value before and after. ``silenced`` had one before alone: the attack
    cost a label and gave no wrong one, so they are counted apart.
    """

    share: float
    low: float
    high: float
    moved: int
    compared: int
    silenced: int


def moved(
    clean: Mapping[str, float | None], attacked: Mapping[str, float | None], tolerance: float
) -> Share:
    """Return the share of labels that differ by more than ``tolerance``, either way.

    Args:
        clean: value in [0, 1] by question, None where the annotator gave none; those are left out.
        attacked: the same for the attacked texts, by the same questions.
        tolerance: largest difference that does not count, in [0, 1]; below one step of the scale.

    The interval is exact (Clopper and Pearson 1934), for questions that are independent: several
    attacks on one pair are not, and make it look narrower than it is.

    Raises:
        InputError: when the questions differ, or none has a value before and after.
    """
    if clean.keys() != attacked.keys():
        odd = min(clean.keys() ^ attacked.keys())
        message = f"clean and attacked labels must answer the same questions; {odd!r} is in one"
        raise InputError(message)
    known = {question: value for question, value in clean.items() if value is not None}
    after = {question: attacked[question] for question in known}
    steps = [abs(known[one] - value) for one, value in after.items() if value is not None]
    if not steps:
        message = "no question has a label before and after the attack; ask more of them"
        raise InputError(message)
    count = sum(step > tolerance for step in steps)
    interval = binomtest(count, len(steps)).proportion_ci(CONFIDENCE, "exact")
    return Share(
        share=count / len(steps),
        low=float(interval.low),
        high=float(interval.high),
        moved=count,
        compared=len(steps),
        silenced=len(known) - len(steps),
    )
