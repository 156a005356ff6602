"""Published and own settings of the AnglE objectives, and the objective that a run trains."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.errors import InputError
from pipeline.sections import TrainSettings
from pipeline.training.nested import Matryoshka
from pipeline.training.objectives import (
    Angle,
    AngleForm,
    Cosine,
    InBatchNegatives,
    Objective,
    WeightedSum,
)


class Preset(NamedTuple):
    """Weights and temperatures of the three objectives; fields are named as in `TrainSettings`.

    Temperatures divide. ``angle_emb`` multiplies by ``tau`` = 1 / temperature.
    """

    cosine_weight: float
    in_batch_weight: float
    angle_weight: float
    cosine_temperature: float
    in_batch_temperature: float
    angle_temperature: float
    angle_form: AngleForm


# Presets take over weights, temperatures and the form of the angle; graded labels, positives and
# duplicates are treated as `pipeline.training.relations` says, whatever the preset.
PRESETS: Final[dict[str, Preset]] = {
    # This project's: mostly ranking by cosine.
    "default": Preset(1.0, 0.5, 0.02, 0.05, 0.05, 1.0, "phase"),
    # arXiv 2309.12871: it states the temperatures; the weights are those that the first releases
    # of angle_emb had (0.3: w1, w2, w3 = 1, tau 20, 20, 1).
    "paper": Preset(1.0, 1.0, 1.0, 0.05, 0.05, 1.0, "released"),
    # The authors' LLaMA-2 models trained on NLI (README of angle_emb 0.1: w1, w2, w3 = 1, 35, 1).
    "llama-nli": Preset(1.0, 35.0, 1.0, 0.05, 0.05, 1.0, "released"),
    # What angle_emb 0.6.1 does by default: no cosine, ibn_w 1, angle_w 0.02, all tau 20.
    "angle_emb-0.6": Preset(0.0, 1.0, 0.02, 0.05, 0.05, 0.05, "released"),
}


def objective(settings: TrainSettings) -> WeightedSum:
    """Return the preset's objective, with what the settings say in place of the preset's values.

    Raises:
        InputError: when no objective has a weight, or dimensions of a nested vector cannot be
            halved for the angle objective.
    """
    chosen = _chosen(settings)
    terms: dict[str, tuple[float, Objective]] = {
        "cosine": (chosen.cosine_weight, Cosine(chosen.cosine_temperature)),
        "in_batch": (
            chosen.in_batch_weight,
            InBatchNegatives(
                chosen.in_batch_temperature, settings.positive_threshold, settings.positives
            ),
        ),
        "angle": (chosen.angle_weight, Angle(chosen.angle_temperature, chosen.angle_form)),
    }
    _check(chosen, settings)
    if settings.matryoshka:
        terms = {
            name: (weight, Matryoshka(term, settings.matryoshka))
            for name, (weight, term) in terms.items()
        }
    return WeightedSum(terms)


def _chosen(settings: TrainSettings) -> Preset:
    given = {name: getattr(settings, name) for name in Preset._fields}
    return PRESETS[settings.preset]._replace(
        **{name: value for name, value in given.items() if value is not None}
    )


def _check(chosen: Preset, settings: TrainSettings) -> None:
    if not (chosen.cosine_weight or chosen.in_batch_weight or chosen.angle_weight):
        message = (
            f"with preset {settings.preset!r}, train.cosine_weight, train.in_batch_weight and "
            f"train.angle_weight are all 0: nothing would be trained; set one above 0"
        )
        raise InputError(message)
    odd = [k for k in settings.matryoshka if k % 2]
    if chosen.angle_weight and odd:
        message = (
            f"train.matryoshka has {odd}, and the angle objective halves vectors: give even "
            f"numbers, or set train.angle_weight to 0"
        )
        raise InputError(message)
