"""From opinions to labels: calibrate each annotator, combine, and say what the labels are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.curation import calibration
from pipeline.curation.agreement import agreement, between, krippendorff
from pipeline.curation.calibration import MIN_GOLD, Method, Opinion
from pipeline.curation.combine import COMBINATIONS, Scores, quality
from pipeline.errors import ConfigError, InputError
from pipeline.sections import CurateSettings

Opinions = Mapping[str, Mapping[str, float]]  # annotator -> pair id -> score

# Where neither settings nor gold say otherwise; chosen on dev pairs (docs/decisions/0021).
WEIGHTS: Final[dict[str, float]] = {"whitened_encoder": 2.0}


class Panel(NamedTuple):
    """All annotators' scores on their own scales, and on one scale."""

    own: dict[str, Opinion]
    scaled: dict[str, Opinion]
    gold: Scores  # gold scores of the gold pairs, in [0, 1]
    method: Method
    reason: str  # why not the other method, where that was open

    def only(self, kept: NDArray[np.bool_]) -> Panel:
        """Return the panel over the pairs that ``kept`` marks; calibration stays what it is."""
        own, scaled = (
            {name: Opinion(one.pairs[kept], one.gold) for name, one in opinions.items()}
            for opinions in (self.own, self.scaled)
        )
        return self._replace(own=own, scaled=scaled)


class Labels(NamedTuple):
    """The labels of the pairs, and of the gold pairs as if they stood among the pairs."""

    pairs: Scores
    gold: Scores  # cross-fitted; NaN where a gold pair has too few opinions
    order: Scores  # of the gold pairs, before they were brought to gold's scale


def heard(settings: CurateSettings, annotators: Mapping[str, object]) -> list[str]:
    """Return the annotators that have a say."""
    return [name for name in annotators if settings.weights.get(name, 1.0) > 0]


def opinions_needed(settings: CurateSettings, annotators: Mapping[str, object]) -> int:
    """Return how many of the annotators that have a say must have scored a pair."""
    return settings.min_opinions or len(heard(settings, annotators))


def panel(own: Mapping[str, Opinion], gold: Scores, settings: CurateSettings) -> Panel:
    """Return the annotators' scores, calibrated by the method of the settings.

    Ranks and scores on gold's scale do not mix: one annotator without enough gold leaves all by
    rank, unless its scores lie in [0, 1], as a person's grades do. Then they are taken as given.

    Raises:
        ConfigError: when the settings ask for gold that is not there.
    """
    few = calibration.lacking({name: opinion.gold for name, opinion in own.items()})
    blocked = few
    if len(few) < len(own):
        blocked = [name for name in few if not calibration.on_scale(own[name])]
    elif COMBINATIONS[settings.combine].by_gold:
        raise ConfigError(_more_gold(f"combine: {settings.combine}", few))
    if blocked and settings.calibrate == "isotonic":
        raise ConfigError(_more_gold("calibrate: isotonic", blocked))
    method: Method = "rank" if blocked or settings.calibrate == "rank" else "isotonic"
    scaled = {
        name: opinion
        if method == "isotonic" and name in few
        else calibration.METHODS[method](opinion, gold)
        for name, opinion in own.items()
    }
    reason = _missing(blocked) if blocked and settings.calibrate == "auto" else ""
    return Panel(dict(own), scaled, gold, method, reason)


def _missing(few: Sequence[str]) -> str:
    return f"fewer than {MIN_GOLD} gold dev pairs are scored by {', '.join(few)}"


def _more_gold(setting: str, few: Sequence[str]) -> str:
    return f"curate.{setting} needs more gold: {_missing(few)}; add pairs or choose another"


def combined(panel: Panel, settings: CurateSettings) -> Labels:
    """Return the annotators' scores as one.

    A combination of calibrated scores lies nearer the middle than gold does, so it is calibrated
    once more; the blend is a rank and stays one.

    Raises:
        InputError: when weights by gold leave nobody.
    """
    way = COMBINATIONS[settings.combine]
    opinions = panel.own if way.by_order else panel.scaled
    weights = _weights(panel, settings)
    pairs = way.combine({name: one.pairs for name, one in opinions.items()}, weights)
    both = {name: np.concatenate(one) for name, one in opinions.items()}
    gold = way.combine(both, weights)[len(pairs) :]
    voices = sum(np.isfinite(panel.own[name].gold) for name in heard(settings, panel.own))
    order = np.where(voices >= opinions_needed(settings, panel.own), gold, np.nan)
    if way.stays or panel.method == "rank" or calibration.lacking({"labels": order}):
        return Labels(pairs, order, order)
    return Labels(*calibration.by_isotonic(Opinion(pairs, order), panel.gold), order)


def _weights(panel: Panel, settings: CurateSettings) -> dict[str, float]:
    """Return the weights, where asked for by gold: one without enough of it earns the mean."""
    if not COMBINATIONS[settings.combine].by_gold:
        return {name: settings.weights.get(name, WEIGHTS.get(name, 1.0)) for name in panel.own}
    weights = {name: settings.weights.get(name, 1.0) for name in panel.own}
    few = calibration.lacking({name: opinion.gold for name, opinion in panel.own.items()})
    rho = {
        name: agreement(opinion.gold, panel.gold).get("spearman", 0.0)
        for name, opinion in panel.own.items()
        if name not in few
    }
    if max(rho.values()) <= 0:
        message = "no annotator orders the gold dev pairs better than chance"
        advice = "check the gold file's scores, or choose another curate.combine than gold_weighted"
        raise InputError(f"{message}; {advice}")
    earned = {name: quality(value) for name, value in rho.items()}
    usual = sum(earned.values()) / len(earned)
    return {name: weight * earned.get(name, usual) for name, weight in weights.items()}


def findings(panel: Panel, labels: Labels, settings: CurateSettings) -> dict[str, Any]:
    """Return what is known of annotators and labels: agreement with gold, between them, quality."""
    found = {
        name: agreement(opinion.gold, panel.gold, panel.scaled[name].gold)
        for name, opinion in panel.own.items()
    }
    found[settings.combine] = agreement(labels.order, panel.gold, labels.gold)
    scaled = {name: opinion.pairs for name, opinion in panel.scaled.items()}
    return {
        "combine": settings.combine,
        "agreement": {name: figures for name, figures in found.items() if figures},
        "between": between(scaled),
        "krippendorff": krippendorff(scaled),
        "calibration": {
            "method": panel.method,
            "reason": panel.reason,
            "gold_pairs": len(panel.gold),
            "annotators": calibration.report(panel.own, panel.scaled, panel.gold),
            "labels": calibration.quality(labels.gold, panel.gold),
        },
    }
