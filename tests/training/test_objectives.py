"""The objectives against slow formulas, published values, and what they must never do."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.errors import InputError
from pipeline.training import objectives
from pipeline.training.objectives import (
    Angle,
    Cosine,
    InBatchNegatives,
    Objective,
    PairBatch,
)

KINDS: dict[str, Objective] = {
    "cosine": Cosine(0.5),
    "angle": Angle(0.5),
    "released": Angle(0.5, "released"),
    "in_batch": InBatchNegatives(0.5, 0.8),
    "in_batch_by_label": InBatchNegatives(0.5, 0.8, "label"),
}
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def vectors_of(texts: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(texts, dimensions, generator=generator, dtype=torch.float64)


def batch_of(pairs: int, seed: int = 0, dimensions: int = 8, *, texts: int = 0) -> PairBatch:
    """Return a batch of ``pairs`` with distinct texts, or of pairs among ``texts`` texts."""
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(0, 6, (pairs,), generator=generator) / 5
    if not texts:
        rows = vectors_of(2 * pairs, dimensions, seed)
        return PairBatch.of(rows[:pairs], rows[pairs:], score)
    index = torch.randint(0, texts, (pairs, 2), generator=generator)
    return PairBatch(vectors_of(texts, dimensions, seed), index, score)


def gradient(kind: Objective, batch: PairBatch) -> Tensor:
    leaf = batch.vectors.detach().clone().requires_grad_()
    kind(batch._replace(vectors=leaf)).backward()
    assert leaf.grad is not None
    return leaf.grad


def slow_ranking(similarity: list[float], score: Tensor, temperature: float) -> float:
    compared = [
        math.exp((similarity[i] - similarity[j]) / temperature)
        for i in range(len(score))
        for j in range(len(score))
        if score[i] < score[j]
    ]
    return math.log(1 + sum(compared))


def hermitian(batch: PairBatch) -> list[complex]:
    """Return the inner products of the pairs, their halves being real and imaginary parts."""
    half, products = batch.vectors.shape[1] // 2, []
    for x, y in zip(batch.left.tolist(), batch.right.tolist(), strict=True):
        z = [complex(x[k], x[half + k]) for k in range(half)]
        w = [complex(y[k], y[half + k]) for k in range(half)]
        size = math.hypot(*map(abs, z)) * math.hypot(*map(abs, w))
        products.append(sum(a * b.conjugate() for a, b in zip(z, w, strict=True)) / size)
    return products


def slow_in_batch(batch: PairBatch, temperature: float, weight: list[float]) -> float:
    """InfoNCE written out for batches in which all texts differ, weights one for each pair."""
    texts = torch.nn.functional.normalize(batch.vectors, dim=-1)
    partner = {a: b for pair in batch.pairs.tolist() for a, b in (pair, pair[::-1])}
    grade = {text: w for pair, w in zip(batch.pairs.tolist(), weight, strict=True) for text in pair}
    total = 0.0
    for anchor, wanted in partner.items():
        shares = [math.exp(float(texts[anchor] @ other) / temperature) for other in texts]
        rest = sum(share for i, share in enumerate(shares) if i not in (anchor, wanted))
        total -= grade[anchor] * math.log(shares[wanted] / (shares[wanted] + rest))
    return total / sum(grade.values())


@pytest.mark.parametrize("seed", range(5))
def test_each_objective_equals_its_slow_formula(seed: int) -> None:
    batch = batch_of(7, seed)
    products = hermitian(batch)
    cosines = torch.nn.functional.cosine_similarity(batch.left, batch.right).tolist()
    phases = [-math.atan2(abs(h.imag), h.real) / math.pi for h in products]
    sums = [abs(h.real + h.imag) for h in products]
    slow = pytest.approx(slow_ranking(cosines, batch.score, 0.05), rel=1e-9)
    assert float(Cosine()(batch)) == slow
    assert float(Angle(0.3)(batch)) == pytest.approx(slow_ranking(phases, batch.score, 0.3))
    slow = pytest.approx(slow_ranking(sums, batch.score, 0.05), rel=1e-9)
    assert float(Angle(0.05, "released")(batch)) == slow
    positive = (batch.score >= 0.8).double().tolist()
    slow = pytest.approx(slow_in_batch(batch, 0.1, positive), rel=1e-6)
    assert float(InBatchNegatives(0.1, 0.8)(batch)) == slow
    unrelated = batch._replace(score=batch.score * 0.3)
    slow = pytest.approx(slow_in_batch(batch, 0.1, unrelated.score.tolist()), rel=1e-6)
    assert float(InBatchNegatives(0.1, 0.8, "label")(unrelated)) == slow


# Values of angle_emb 0.6.1 on the batches of `published`: angle_loss with tau 1 and 20, and
# cosine_loss with tau 20.
PUBLISHED = {
    (6, 8, 0): (2.798028234154, 12.161609470306, 11.953799371101),
    (17, 64, 1): (4.689407929192, 7.180401188997, 5.956656011077),
    (120, 32, 2): (8.704677535451, 17.221850601781, 11.232601100571),
}


def published(pairs: int, dimensions: int, seed: int) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(pairs, dimensions, generator=generator, dtype=torch.float64)
    right = left + torch.randn(pairs, dimensions, generator=generator, dtype=torch.float64)
    return PairBatch.of(left, right, torch.randint(0, 6, (pairs,), generator=generator) / 5)


@pytest.mark.parametrize("shape", PUBLISHED)
def test_released_angle_and_cosine_are_those_of_the_published_code(
    shape: tuple[int, int, int],
) -> None:
    batch = published(*shape)
    kinds = (Angle(1.0, "released"), Angle(1 / 20, "released"), Cosine(1 / 20))
    assert [float(kind(batch)) for kind in kinds] == pytest.approx(PUBLISHED[shape], abs=1e-9)
    single = batch._replace(vectors=batch.vectors.float())
    assert [float(kind(single)) for kind in kinds] == pytest.approx(PUBLISHED[shape], rel=1e-6)


def test_in_batch_negatives_are_those_of_the_published_code_where_labels_are_one() -> None:
    # in_batch_negative_loss of angle_emb 0.6.1 with tau 20; where labels differ it has defects.
    batch = published(40, 32, 5)._replace(score=torch.ones(40))
    assert float(InBatchNegatives(1 / 20)(batch)) == pytest.approx(0.1653448742299875, abs=1e-9)


@KIND
@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_finite_differences(kind: Objective, seed: int) -> None:
    batch = batch_of(9, seed, dimensions=4, texts=12)
    leaf = batch.vectors.requires_grad_()
    assert gradient(kind, batch).abs().max() > 1e-3
    assert torch.autograd.gradcheck(lambda x: kind(batch._replace(vectors=x)), [leaf])


@KIND
@settings(max_examples=12, deadline=None)
@given(
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    norms=st.lists(st.sampled_from([0.0, 0.1, 1.0, 1e2, 1e4]), min_size=8, max_size=8),
    seed=st.integers(0, 1000), turns=st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4),
)  # fmt: skip
def test_any_length_and_precision_gives_finite_losses_and_gradients(
    kind: Objective, dtype: torch.dtype, norms: list[float], seed: int, turns: list[int]
) -> None:
    rows = torch.nn.functional.normalize(vectors_of(8, 4096, seed), dim=-1)
    for pair, turn in enumerate(turns):  # equal and opposite texts, too
        rows[4 + pair] = turn * rows[pair] if turn else rows[4 + pair]
    left, right = (rows * torch.tensor(norms)[:, None]).to(dtype).split(4)
    batch = PairBatch.of(left, right, torch.tensor([0.0, 1.0, 1.0, 0.5]))
    loss = kind(batch)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    slopes = gradient(kind, batch)
    assert slopes.dtype == dtype
    assert torch.isfinite(slopes).all()


@KIND
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), pairs=st.integers(2, 12))
def test_the_order_of_pairs_and_of_texts_does_not_matter(
    kind: Objective, seed: int, pairs: int
) -> None:
    batch = batch_of(pairs, seed, texts=10)
    generator = torch.Generator().manual_seed(seed)
    order, texts = torch.randperm(pairs, generator=generator), torch.randperm(10)
    moved = PairBatch(batch.vectors[texts], texts.argsort()[batch.pairs[order]], batch.score[order])
    assert float(kind(moved)) == pytest.approx(float(kind(batch)), abs=1e-9)
    if kind is not KINDS["released"]:
        turned = batch._replace(pairs=batch.pairs.flip(1))
        assert float(kind(turned)) == pytest.approx(float(kind(batch)), abs=1e-9)


@KIND
def test_the_length_of_a_vector_does_not_matter(kind: Objective) -> None:
    batch = batch_of(6)
    longer = batch._replace(vectors=batch.vectors * torch.rand(12, 1) * 9)
    assert float(kind(longer)) == pytest.approx(float(kind(batch)), abs=1e-9)


@pytest.mark.parametrize("label", [0.0, 0.4, math.nan])
@pytest.mark.parametrize("name", ["cosine", "angle", "released"])
def test_pairs_with_equal_labels_are_not_compared(name: str, label: float) -> None:
    batch = batch_of(6)._replace(score=torch.full((6,), label))
    assert float(KINDS[name](batch)) == 0.0
    assert not gradient(KINDS[name], batch).any()


def test_the_phase_costs_least_for_equal_vectors_more_between_and_most_for_opposite_ones() -> None:
    x = vectors_of(1, 16, 2)
    real, imaginary = x.chunk(2, dim=-1)
    turned = torch.cat([-imaginary, real], dim=-1)  # x times i
    steps = [
        PairBatch.of(
            torch.cat([x, x]),
            torch.cat([math.cos(turn) * x + math.sin(turn) * turned, x]),
            torch.tensor([1.0, 0.0]),
        )
        for turn in torch.linspace(0, math.pi, 9).tolist()
    ]
    losses = [float(Angle(0.1)(step)) for step in steps]
    assert all(after > before + 0.1 for before, after in pairwise(losses))


def test_the_released_form_takes_opposite_vectors_for_equal_ones_and_sides_for_different() -> None:
    (x, y), score = vectors_of(2, 16, 2).split(1), torch.tensor([1.0, 0.0])
    same, opposite, turned = (
        float(Angle(1.0, "released")(PairBatch.of(torch.cat(left), torch.cat(right), score)))
        for left, right in (((x, x), (x, y)), ((x, x), (-x, y)), ((x, y), (x, x)))
    )
    assert opposite == pytest.approx(same, abs=1e-12)
    assert abs(turned - same) > 1e-3


@pytest.mark.parametrize("leak", [0.0, 1e-8])
def test_vectors_without_a_phase_are_at_a_right_angle_without_gradient(leak: float) -> None:
    one = torch.eye(4, dtype=torch.float64)
    left, right = torch.stack([one[0], one[1]]), torch.stack([one[3] + leak * one[0], -one[1]])
    batch = PairBatch.of(left, right, torch.tensor([0.0, 1.0]))
    assert float(Angle(0.1)(batch)) == pytest.approx(math.log(1 + math.exp((-0.5 + 1) / 0.1)))
    assert not gradient(Angle(0.1), batch)[[0, 2]].any()


def test_an_odd_number_of_dimensions_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"not 7.*angle_weight"):
        Angle()(batch_of(3, dimensions=7))


@pytest.mark.parametrize("score", [[0.0, 0.2, 0.4, 0.6, 0.8, 0.89], [0.0] * 6])
def test_a_batch_without_positives_costs_nothing(score: list[float]) -> None:
    batch = batch_of(6)._replace(score=torch.tensor(score))
    assert float(InBatchNegatives()(batch)) == 0.0
    assert not gradient(InBatchNegatives(), batch).any()


def test_an_anchor_without_candidates_costs_nothing() -> None:
    pairs = torch.tensor([[0, 1], [1, 2], [0, 2]])
    batch = PairBatch(vectors_of(3, 8, 0), pairs, torch.ones(3))
    assert float(InBatchNegatives()(batch)) == 0.0
    assert not gradient(InBatchNegatives(), batch).any()


@pytest.mark.parametrize("kind", [InBatchNegatives(0.1, 0.8), InBatchNegatives(0.1, 0.8, "label")])
@pytest.mark.parametrize("block", [1, 100, 450])
def test_blocks_of_rows_give_what_one_block_gives(
    kind: Objective, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(40, texts=45)
    whole, slopes = float(kind(batch)), gradient(kind, batch)
    monkeypatch.setattr(objectives, "BLOCK", block)
    assert float(kind(batch)) == pytest.approx(whole, abs=1e-12)
    assert torch.allclose(gradient(kind, batch), slopes, rtol=0, atol=1e-12)


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        out = func(*args, **(kwargs or {}))
        self.size = max(self.size, out.numel() if isinstance(out, Tensor) else 0)
        return out


def test_no_tensor_of_all_texts_by_all_texts_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectives, "BLOCK", 2**14)
    batch = batch_of(200)._replace(score=torch.ones(200))
    with Largest() as largest:
        gradient(InBatchNegatives(), batch)
    assert largest.size <= 2**14


@KIND
def test_autocast_changes_nothing(kind: Objective) -> None:
    batch = batch_of(20)
    batch = batch._replace(vectors=batch.vectors.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = float(kind(batch))
    assert inside == float(kind(batch))
