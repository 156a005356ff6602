"""Presets and what replaces them, sums of objectives, nested vectors, and that all of it trains."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from scipy.stats import spearmanr

from pipeline.errors import InputError
from pipeline.sections import TrainSettings
from pipeline.training.nested import Matryoshka
from pipeline.training.objectives import (
    Angle,
    Cosine,
    InBatchNegatives,
    Objective,
    PairBatch,
    WeightedSum,
)
from pipeline.training.presets import PRESETS, Preset, objective


def settings(**changed: Any) -> TrainSettings:
    return TrainSettings.model_validate(changed)


def batch_of(pairs: int = 12, dimensions: int = 16) -> PairBatch:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.randn(2, pairs, dimensions, generator=generator, dtype=torch.float64)
    return PairBatch.of(left, right, torch.linspace(0, 1, pairs))


def values(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term) for name, term in terms.items()}


def test_the_settings_name_every_preset() -> None:
    assert set(get_args(TrainSettings.model_fields["preset"].annotation)) == set(PRESETS)
    assert settings().preset == "default"


@pytest.mark.parametrize(
    ("name", "weights", "multipliers", "form"),
    [
        ("default", (1, 0.5, 0.02), (20, 20, 1), "phase"),
        ("paper", (1, 1, 1), (20, 20, 1), "released"),
        ("llama-nli", (1, 35, 1), (20, 20, 1), "released"),
        ("angle_emb-0.6", (0, 1, 0.02), (20, 20, 20), "released"),
    ],
)
def test_presets_are_what_was_published(
    name: str, weights: tuple[float, ...], multipliers: tuple[float, ...], form: str
) -> None:
    preset = PRESETS[name]
    assert preset[:3] == weights
    assert [1 / temperature for temperature in preset[3:6]] == pytest.approx(multipliers)
    assert preset.angle_form == form


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_weighted_sum_of_its_objectives(name: str) -> None:
    preset, batch = PRESETS[name], batch_of()
    kinds: dict[str, Objective] = {
        "cosine": Cosine(preset.cosine_temperature),
        "in_batch": InBatchNegatives(preset.in_batch_temperature),
        "angle": Angle(preset.angle_temperature, preset.angle_form),
    }
    weights = dict(zip(kinds, preset, strict=False))
    expected = {name: float(kind(batch)) for name, kind in kinds.items() if weights[name]}
    expected["loss"] = sum(weights[name] * term for name, term in expected.items())
    whole = objective(settings(preset=name))
    assert values(whole.terms(batch)) == pytest.approx(expected)
    assert float(whole(batch)) == pytest.approx(expected["loss"])


OVERRIDES: dict[str, Any] = {
    "cosine_weight": 3.0, "in_batch_weight": 2.0, "angle_weight": 4.0, "cosine_temperature": 0.5,
    "in_batch_temperature": 0.6, "angle_temperature": 0.7, "angle_form": "phase",
    "positives": "label", "positive_threshold": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_setting_replaces_its_part_of_the_preset(name: str) -> None:
    given, batch = {name: OVERRIDES[name]}, batch_of()
    before = float(objective(settings(preset="paper"))(batch))
    assert abs(float(objective(settings(preset="paper", **given))(batch)) - before) > 1e-3


def test_the_settings_can_replace_all_of_a_preset() -> None:
    assert set(Preset._fields) <= set(TrainSettings.model_fields)
    own = {name: OVERRIDES[name] for name in Preset._fields}
    paper, default = (objective(settings(preset=name, **own)) for name in ("paper", "default"))
    assert values(paper.terms(batch_of())) == values(default.terms(batch_of()))


def test_a_weight_of_zero_leaves_the_objective_out() -> None:
    left = objective(settings(in_batch_weight=0))
    assert list(left.terms(batch_of())) == ["cosine", "angle", "loss"]
    assert left.weights == {"cosine": 1.0, "angle": 0.02}


def test_nothing_to_train_is_refused_with_the_names_of_the_settings() -> None:
    none = settings(cosine_weight=0, in_batch_weight=0, angle_weight=0)
    with pytest.raises(InputError, match=r"cosine_weight, train.in_batch_weight and"):
        objective(none)
    for terms in ({}, {"a": (0.0, Cosine())}, {"loss": (1.0, Cosine())}):
        with pytest.raises(ValueError, match="weight other than 0"):
            WeightedSum(terms)


@pytest.mark.parametrize("kind", [Cosine(), Angle(), Angle(1.0, "released"), InBatchNegatives()])
def test_nested_vectors_cost_the_mean_over_their_leading_parts(kind: Objective) -> None:
    batch = batch_of()
    parts = [float(kind(batch._replace(vectors=batch.vectors[:, :k]))) for k in (4, 8, 16)]
    expected = pytest.approx(sum(parts) / 3)
    assert float(Matryoshka(kind, (4, 8))(batch)) == expected
    assert float(Matryoshka(kind, (16, 8, 4, 8))(batch)) == expected
    assert float(Matryoshka(kind, ())(batch)) == float(kind(batch))
    batch = batch_of(5, dimensions=8)
    leaf, nested = batch.vectors.requires_grad_(), Matryoshka(kind, (2, 4))
    assert torch.autograd.gradcheck(lambda x: nested(batch._replace(vectors=x)), [leaf])


def test_nested_vectors_keep_the_names_of_the_objectives() -> None:
    whole = objective(settings(matryoshka=(4, 8)))
    terms = values(whole.terms(batch_of()))
    assert terms["cosine"] == pytest.approx(float(Matryoshka(Cosine(), (4, 8))(batch_of())))
    assert list(terms) == ["cosine", "in_batch", "angle", "loss"]


def test_leading_parts_that_cannot_be_are_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"\[4, 32\].*from 1 to 16"):
        Matryoshka(Cosine(), (32, 4))(batch_of())
    with pytest.raises(InputError, match=r"\[7\].*angle_weight"):
        objective(settings(matryoshka=(7, 8)))
    assert objective(settings(matryoshka=(7, 8), angle_weight=0))(batch_of()) > 0


@pytest.mark.parametrize("name", [*PRESETS, "nested"])
def test_free_vectors_learn_the_order_of_their_labels(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(30, 16, generator=generator, requires_grad=True)
    pairs = torch.arange(30).view(15, 2)
    # Graded labels for ranking; without the cosine, only who is alike.
    graded = name not in ("angle_emb-0.6", "llama-nli")
    score = torch.linspace(0, 1, 15) if graded else (torch.arange(15) >= 10).float()
    chosen = settings(matryoshka=(8,)) if name == "nested" else settings(preset=name)
    batch, kind = PairBatch(vectors, pairs, score), objective(chosen)
    optimizer = torch.optim.Adam([vectors], lr=0.05)

    def order(width: int = 16) -> float:
        cut = batch._replace(vectors=vectors.detach()[:, :width])
        cosines = torch.nn.functional.cosine_similarity(cut.left, cut.right)
        return float(spearmanr(cosines, score).statistic)

    before = order()
    for _ in range(80):
        optimizer.zero_grad()
        kind(batch).backward()
        optimizer.step()
    assert before < 0.5
    assert order() > 0.8
    assert name != "nested" or order(8) > 0.8
