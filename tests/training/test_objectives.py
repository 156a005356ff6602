"""The objectives against the slow formula, finite differences, and what they must never do."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.training import objectives
from pipeline.training.objectives import PairBatch, Weights


def batch_of(pairs: int, seed: int = 0, dimensions: int = 8, *, grades: int = 5) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(pairs, dimensions, generator=generator, dtype=torch.float64)
    right = torch.randn(pairs, dimensions, generator=generator, dtype=torch.float64)
    score = torch.randint(0, grades + 1, (pairs,), generator=generator) / grades
    return PairBatch(left, right, score, torch.arange(2 * pairs))


def slow_ranking(similarity: Tensor, score: Tensor, temperature: float) -> float:
    total = 1.0
    for i in range(len(score)):
        for j in range(len(score)):
            if score[i] < score[j]:
                total += math.exp((float(similarity[i]) - float(similarity[j])) / temperature)
    return math.log(total)


def slow_cosine(batch: PairBatch, temperature: float) -> float:
    similarity = torch.nn.functional.cosine_similarity(batch.left, batch.right)
    return slow_ranking(similarity, batch.score, temperature)


def slow_angle(batch: PairBatch, temperature: float) -> float:
    half = batch.left.shape[1] // 2
    angles = []
    for x, y in zip(batch.left, batch.right, strict=True):
        z = [complex(float(x[k]), float(x[half + k])) for k in range(half)]
        w = [complex(float(y[k]), float(y[half + k])) for k in range(half)]
        product = sum(a * b.conjugate() for a, b in zip(z, w, strict=True))
        angles.append(math.atan2(abs(product.imag), product.real) / math.pi)
    return slow_ranking(-torch.tensor(angles), batch.score, temperature)


def slow_in_batch(batch: PairBatch, temperature: float, threshold: float) -> float:
    """InfoNCE written out for batches in which all texts differ."""
    pairs = len(batch.score)
    texts = torch.nn.functional.normalize(torch.cat([batch.left, batch.right]), dim=-1)
    partner = [*range(pairs, 2 * pairs), *range(pairs)]
    grade = [float(value) for value in batch.score] * 2
    losses = []
    for anchor in range(2 * pairs):
        if grade[anchor] < threshold:
            continue
        others = [c for c in range(2 * pairs) if c not in (anchor, partner[anchor])]
        wanted = math.exp(float(texts[anchor] @ texts[partner[anchor]]) / temperature)
        rest = sum(math.exp(float(texts[anchor] @ texts[c]) / temperature) for c in others)
        losses.append(-math.log(wanted / (wanted + rest)))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_each_objective_equals_its_slow_formula(seed: int) -> None:
    batch = batch_of(7, seed)
    found = float(objectives.cosine(batch, 0.05))
    assert found == pytest.approx(slow_cosine(batch, 0.05), rel=1e-4)
    found = float(objectives.angle(batch, 0.5))
    assert found == pytest.approx(slow_angle(batch, 0.5), rel=1e-4)
    found = float(objectives.in_batch_negatives(batch, 0.1, 0.8))
    assert found == pytest.approx(slow_in_batch(batch, 0.1, 0.8), rel=1e-4)


TERMS = {
    "cosine": lambda batch: objectives.cosine(batch, 0.5),
    "angle": lambda batch: objectives.angle(batch, 0.5),
    "in_batch": lambda batch: objectives.in_batch_negatives(batch, 0.5, 0.8),
}


@pytest.mark.parametrize("name", sorted(TERMS))
def test_gradients_equal_finite_differences(name: str) -> None:
    batch = batch_of(5, seed=3, dimensions=4)
    left = batch.left.clone().requires_grad_()
    TERMS[name](batch._replace(left=left)).backward()
    assert left.grad is not None
    step = 1e-2
    for row, column in ((0, 0), (2, 3), (4, 1)):
        moved = []
        for sign in (1, -1):
            changed = batch.left.clone()
            changed[row, column] += sign * step
            moved.append(float(TERMS[name](batch._replace(left=changed))))
        slope = (moved[0] - moved[1]) / (2 * step)
        assert float(left.grad[row, column]) == pytest.approx(slope, abs=2e-3)


@pytest.mark.parametrize("name", sorted(TERMS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_large_and_zero_vectors_give_finite_losses_and_gradients(
    name: str, dtype: torch.dtype
) -> None:
    left = (torch.randn(6, 4096, generator=torch.Generator().manual_seed(1)) * 100).to(dtype)
    left[0] = 0
    right = left.flip(0).clone()
    left.requires_grad_()
    loss = TERMS[name](PairBatch(left, right, torch.linspace(0, 1, 6), torch.arange(12)))
    loss.backward()
    assert torch.isfinite(loss)
    assert left.grad is not None
    assert torch.isfinite(left.grad).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), pairs=st.integers(2, 9))
def test_the_order_of_the_pairs_does_not_matter(seed: int, pairs: int) -> None:
    batch = batch_of(pairs, seed)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    shuffled = PairBatch(
        batch.left[order], batch.right[order], batch.score[order],
        torch.cat([batch.text[:pairs][order], batch.text[pairs:][order]]),
    )  # fmt: skip
    for term in TERMS.values():
        assert float(term(shuffled)) == pytest.approx(float(term(batch)), rel=1e-4, abs=1e-6)


def test_pairs_with_equal_labels_are_not_compared() -> None:
    batch = batch_of(6)._replace(score=torch.full((6,), 0.4))
    assert float(objectives.cosine(batch, 0.05)) == 0.0
    assert float(objectives.angle(batch, 1.0)) == 0.0


def test_graded_labels_below_the_threshold_give_no_positives() -> None:
    batch = batch_of(6)._replace(score=torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 0.89]))
    assert float(objectives.in_batch_negatives(batch, 0.05, 0.9)) == 0.0


def test_the_angle_is_least_for_equal_vectors_and_most_for_opposite_ones() -> None:
    x = torch.randn(1, 16, generator=torch.Generator().manual_seed(2))
    others = [x, x + 0.1, torch.randn(1, 16, generator=torch.Generator().manual_seed(5)), -x]
    best = PairBatch(
        torch.cat([x, x]), torch.cat([x, -x]), torch.tensor([1.0, 0.0]), torch.arange(4)
    )
    worst = best._replace(score=torch.tensor([0.0, 1.0]))
    assert float(objectives.angle(best, 0.1)) < 1e-3
    assert float(objectives.angle(worst, 0.1)) > 5
    for other in others:
        one = best._replace(right=torch.cat([other, -x]))
        swapped = one._replace(left=one.right, right=one.left)
        found, back = float(objectives.angle(one, 0.1)), float(objectives.angle(swapped, 0.1))
        assert found == pytest.approx(back, rel=1e-5)


def relations(left: list[str], right: list[str], score: list[float]) -> tuple[Tensor, Tensor]:
    numbers = {text: index for index, text in enumerate(dict.fromkeys(left + right))}
    text = torch.tensor([numbers[t] for t in left + right])
    empty = torch.zeros(len(left), 2)
    return objectives._relations(PairBatch(empty, empty, torch.tensor(score), text), 0.9)


def test_equal_texts_siblings_and_positives_of_positives_are_never_negatives() -> None:
    # a is positive with b and with c (siblings); c is positive with d; e and f are strangers.
    positive, ignored = relations(["a", "a", "c", "e"], ["b", "c", "d", "f"], [1.0, 1.0, 1.0, 1.0])
    names = ["a", "a", "c", "e", "b", "c", "d", "f"]
    negative = ~(positive | ignored)
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            related = {first, second} <= {"a", "b", "c", "d"} or {first, second} <= {"e", "f"}
            near = ({"b", "c"}, {"a", "d"}, {"a", "b"}, {"a", "c"})
            if first == second or {first, second} in near:
                assert not negative[i, j], (first, second)
            if not related:
                assert negative[i, j], (first, second)
    assert positive[0, 4]
    assert positive[3, 7]
    assert not positive[0, 1]


def test_partly_similar_pairs_are_neither_positives_nor_negatives() -> None:
    positive, ignored = relations(["a", "c"], ["b", "d"], [0.6, 1.0])
    assert not positive[0, 2]
    assert ignored[0, 2]
    assert positive[1, 3]


def test_the_total_is_the_weighted_sum_and_leaves_out_what_weighs_nothing() -> None:
    batch = batch_of(6)
    weights = Weights(2.0, 0.0, 0.5, 0.05, 0.05, 1.0, 0.9)
    terms = objectives.total(batch, weights)
    assert sorted(terms) == ["angle", "cosine", "loss"]
    expected = 2 * float(terms["cosine"]) + 0.5 * float(terms["angle"])
    assert float(terms["loss"]) == pytest.approx(expected)
