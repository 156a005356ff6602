"""Norms of the terms' gradients: finite differences of slow formulas, and no effect on a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training import gradients, saving
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.examples import Example
from pipeline.training.fit import Trainer
from pipeline.training.gradients import gradient_norms
from pipeline.training.objectives import Angle, Cosine, InBatchNegatives, PairBatch, WeightedSum
from pipeline.training.state import copied

Floats = NDArray[np.float64]
PAIRS = ((0, 1), (2, 3), (1, 4), (0, 5))
SCORES = (1.0, 0.25, 0.5, 0.0)
SETTINGS = TrainSettings(
    epochs=3, batch_pairs=12, learning_rate=3e-3, lora_depth=0.5, lora_dropout=0.1, evaluations=3,
    graph_tokens=64, chunk_tokens=64, checkpoint_seconds=0, precision="float32", angle_weight=0.5,
)  # fmt: skip


def ranked(similarities: Sequence[float], temperature: float) -> float:
    total = 1.0
    for one, low in zip(similarities, SCORES, strict=True):
        for other, high in zip(similarities, SCORES, strict=True):
            if low < high:
                total += math.exp((one - other) / temperature)
    return math.log(total)


def slow_cosine(vectors: Floats) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return ranked([float(unit[a] @ unit[b]) for a, b in PAIRS], 0.05)


def slow_angle(vectors: Floats) -> float:
    half = vectors.shape[1] // 2
    whole = vectors[:, :half] + 1j * vectors[:, half:]
    products = [np.vdot(whole[b], whole[a]) for a, b in PAIRS]
    return ranked([-abs(float(np.angle(product))) / math.pi for product in products], 1.0)


def slow_in_batch(vectors: Floats) -> float:
    """One pair is a positive; each of its texts is told from all others."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    logits = unit @ unit.T / 0.05
    losses = []
    for anchor, positive in ((0, 1), (1, 0)):
        others = [logits[anchor, text] for text in range(len(unit)) if text != anchor]
        losses.append(math.log(sum(map(math.exp, others))) - logits[anchor, positive])
    return float(np.mean(losses))


def slow_norm(term: Callable[[Floats], float], vectors: Floats, step: float = 1e-6) -> float:
    """The mean over texts of how much ``term`` changes for each radian that the text turns."""
    norms = []
    for text in range(len(vectors)):
        by = np.zeros(vectors.shape[1])
        for place in range(vectors.shape[1]):
            moved = [vectors.copy(), vectors.copy()]
            moved[0][text, place] += step
            moved[1][text, place] -= step
            by[place] = (term(moved[0]) - term(moved[1])) / (2 * step)
        norms.append(np.linalg.norm(by) * np.linalg.norm(vectors[text]))
    return float(np.mean(norms))


def batch(vectors: Tensor) -> PairBatch:
    return PairBatch(vectors, torch.tensor(PAIRS), torch.tensor(SCORES, dtype=torch.float64))


@pytest.mark.parametrize("length", [1.0, 30.0])
def test_norms_are_those_of_finite_differences_whatever_the_length_of_the_vectors(
    length: float,
) -> None:
    generator = np.random.default_rng(5)
    found = generator.normal(size=(6, 8)) * length * generator.uniform(0.5, 2, (6, 1))
    vectors = torch.tensor(found[:, None], requires_grad=True)
    objective = WeightedSum(
        {
            "cosine": (2.0, Cosine()),
            "in_batch": (0.5, InBatchNegatives()),
            "angle": (0.7, Angle()),
        }
    )
    norms = gradient_norms(objective.terms(batch(vectors[:, 0])), objective.weights, vectors)
    assert norms["cosine"] == pytest.approx(2.0 * slow_norm(slow_cosine, found), rel=1e-4)
    assert norms["in_batch"] == pytest.approx(0.5 * slow_norm(slow_in_batch, found), rel=1e-4)
    assert norms["angle"] == pytest.approx(0.7 * slow_norm(slow_angle, found), rel=1e-4)
    assert vectors.grad is None


def test_the_cosine_term_fades_with_the_sine_of_the_angle() -> None:
    """Two pairs at the angles a and b: the closed form is share * (sin a + sin b) / (2 t)."""
    found = []
    for a, b in ((0.02, 0.04), (1.4, 1.42)):
        turned = [0.0, a, 0.0, b]
        rows = torch.tensor([[[math.cos(t), math.sin(t)]] for t in turned], dtype=torch.float64)
        vectors = rows.requires_grad_()
        given = PairBatch(vectors[:, 0], torch.tensor([[0, 1], [2, 3]]), torch.tensor([1.0, 0.0]))
        terms = WeightedSum({"cosine": (1.0, Cosine())}).terms(given)
        norm = gradient_norms(terms, {"cosine": 1.0}, vectors)["cosine"]
        share = 1 / (1 + math.exp((math.cos(a) - math.cos(b)) / 0.05))
        assert norm == pytest.approx(share * (math.sin(a) + math.sin(b)) / (2 * 0.05), rel=1e-6)
        found.append(norm)
    assert found[0] < found[1] / 3


def pairs() -> list[Example]:
    words = ("file", "socket", "list", "number", "folder", "size")
    return [
        Example(f"Open the {a} and read", f"Sort every {b} by size", 1.0 if a == b else i * j / 40)
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]


def trainer(tiny: Path, home: Path, **changed: object) -> Trainer:
    spec = EncoderSpec(backbone=str(tiny), template='"{text}":"', pooling="last", max_length=32)
    settings = TrainSettings.model_validate(SETTINGS.model_dump() | changed)
    encoder = load_backbone(spec, Home(home), torch.float32)
    return Trainer(encoder, pairs(), settings, Checkpoints(home / "checkpoints"))


def test_norms_are_measured_at_the_first_step_and_with_every_evaluation(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    run = trainer(tiny_backbone, tmp_path, early_layers=[3], distill_weight=0.1)
    run.run(lambda: 0.5)
    norms = saving.summary(run)["gradient_norms"]
    evaluated = [row["step"] for row in run.history.dev_curve[1:]]
    assert [row["step"] for row in norms] == [1, *evaluated] == [1, 3, 6, 9]
    for row in norms:
        assert row.keys() == {"step", "cosine", "in_batch", "angle", "distill"}
        assert all(math.isfinite(value) for value in row.values())
        assert min(row["cosine"], row["in_batch"], row["angle"]) > 0
    assert norms[0]["distill"] == pytest.approx(0, abs=1e-6)  # the vectors are still the backbone's
    assert norms[-1]["distill"] > 1e-6


def test_measuring_changes_no_weight_and_no_loss(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = trainer(tiny_backbone, tmp_path / "one")
    measured.run(lambda: 0.5)
    monkeypatch.setattr(Trainer, "_is_measured", lambda *_: False)
    plain = trainer(tiny_backbone, tmp_path / "two")
    plain.run(lambda: 0.5)
    assert measured.history.gradient_norms
    assert not plain.history.gradient_norms
    assert measured.history.curve == plain.history.curve
    one, two = copied(measured.model), copied(plain.model)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_was_measured_survives_a_stop(tiny_backbone: Path, tmp_path: Path) -> None:
    whole = trainer(tiny_backbone, tmp_path / "whole")
    whole.run(lambda: 0.5)

    def stop(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    cut = trainer(tiny_backbone, tmp_path / "cut")
    cut.step_done = stop
    with pytest.raises(KeyboardInterrupt):
        cut.run(lambda: 0.5)
    again = trainer(tiny_backbone, tmp_path / "cut")
    again.run(lambda: 0.5)
    assert again.history.gradient_norms == whole.history.gradient_norms
    assert len(whole.history.gradient_norms) == 4


def test_running_out_of_memory_while_measuring_is_met_as_anywhere(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def starving(*given: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return gradient_norms(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(gradients, "gradient_norms", starving)
    run = trainer(tiny_backbone, tmp_path, chunk_tokens=256)
    run.run(lambda: 0.5)
    assert len(run.history.gradient_norms) == 4
    assert run.memory.chunk_tokens == 128
