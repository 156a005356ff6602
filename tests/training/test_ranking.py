"""The ranking loss against the formula over all pairs of pairs, and its corner cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.training.ranking import SORTED_FROM, by_differences, by_sorting, ranking

Form = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
FORMS = [by_differences, by_sorting]
NAN = math.nan


def naive(similarity: Tensor, score: Tensor, temperature: float) -> Tensor:
    """Return the loss as its formula says, one term after another."""
    gaps = [0 * similarity.sum()]
    for i in range(len(score)):
        for j in range(len(score)):
            if score[i] < score[j]:
                gaps.append((similarity[i] - similarity[j]) / temperature)
    return torch.stack(gaps).logsumexp(0)


def matrix(similarity: Tensor, score: Tensor, temperature: float) -> Tensor:
    """Return the same for many pairs at once."""
    gaps = ((similarity[:, None] - similarity) / temperature)[score[:, None] < score]
    return torch.cat([gaps, gaps.new_zeros(1)]).logsumexp(0)


def slope(loss: Callable[..., Tensor], similarity: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    leaf = similarity.clone().requires_grad_()
    value = loss(leaf, *rest)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def drawn(pairs: int, seed: int = 0, labels: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.rand(pairs, generator=generator, dtype=torch.float64) * 2 - 1
    return similarity, torch.randint(0, labels, (pairs,), generator=generator) / (labels - 1)


PAIRS = st.lists(
    st.tuples(st.floats(-1, 1), st.sampled_from([0.0, 0.2, 0.2, 0.5, 0.5, 1.0, NAN])), max_size=12
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS, temperature=st.sampled_from([1e-4, 0.05, 1.0, 20.0]))
def test_both_forms_and_their_gradients_equal_the_formula(
    form: Form, pairs: list[tuple[float, float]], temperature: float
) -> None:
    similarity = torch.tensor([pair[0] for pair in pairs], dtype=torch.float64)
    score = torch.tensor([pair[1] for pair in pairs], dtype=torch.float64)
    expected, slopes = slope(naive, similarity, score, temperature)
    loss, gradient = form(similarity / temperature, score)
    assert float(loss) == pytest.approx(float(expected), rel=1e-12, abs=1e-9)
    assert torch.allclose(gradient / temperature, slopes, rtol=1e-9, atol=1e-9 / temperature)


@pytest.mark.parametrize("pairs", [2, SORTED_FROM - 1, SORTED_FROM, 700])
@pytest.mark.parametrize("labels", [2, 26, 100_000])
def test_the_loss_equals_the_formula_at_all_sizes(pairs: int, labels: int) -> None:
    similarity, score = drawn(pairs, labels=labels)
    score[::7] = NAN
    expected, slopes = slope(matrix, similarity, score, 0.05)
    loss, gradient = slope(ranking, similarity, score, 0.05)
    assert float(loss) == pytest.approx(float(expected), abs=1e-9)
    assert torch.allclose(gradient, slopes, rtol=0, atol=1e-9)
    assert not gradient[::7].any()


@pytest.mark.parametrize("pairs", [9, SORTED_FROM + 4])
def test_the_gradient_equals_finite_differences(pairs: int) -> None:
    similarity, score = drawn(pairs)
    leaf = similarity.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ranking(x, score, 0.3) * 2.5, [leaf])


@pytest.mark.parametrize("pairs", [0, 1, 5, SORTED_FROM + 4])
@pytest.mark.parametrize("label", [0.4, NAN])
def test_nothing_to_compare_costs_exactly_nothing(pairs: int, label: float) -> None:
    similarity, _ = drawn(pairs)
    loss, gradient = slope(ranking, similarity, torch.full((pairs,), label), 0.05)
    assert float(loss) == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("pairs", [8, SORTED_FROM + 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_similarities_of_ten_thousand_temperatures_stay_exact(
    pairs: int, dtype: torch.dtype
) -> None:
    similarity, score = drawn(pairs)
    similarity = similarity.to(dtype)
    expected, slopes = slope(matrix, similarity.double(), score, 1e-4)
    loss, gradient = slope(ranking, similarity, score, 1e-4)
    assert loss.dtype == gradient.dtype == dtype
    assert float(expected) > 1e3
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    assert torch.allclose(gradient.double(), slopes, rtol=1e-5, atol=1e-5)


def test_a_right_order_with_wide_gaps_costs_nothing_and_a_wrong_one_its_widest_gap() -> None:
    similarity = torch.linspace(-1, 1, SORTED_FROM + 4, dtype=torch.float64)
    assert float(ranking(similarity, similarity, 1e-5)) < 1e-9
    loss, gradient = slope(ranking, similarity, -similarity, 1e-4)
    assert float(loss) == pytest.approx(2e4, rel=1e-6)
    assert torch.isfinite(gradient).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), pairs=st.sampled_from([5, SORTED_FROM + 4]))
def test_the_order_of_the_pairs_does_not_matter(seed: int, pairs: int) -> None:
    similarity, score = drawn(pairs, seed)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    loss, gradient = slope(ranking, similarity, score, 0.05)
    again, moved = slope(ranking, similarity[order], score[order], 0.05)
    assert float(again) == pytest.approx(float(loss), abs=1e-12)
    assert torch.allclose(moved, gradient[order], rtol=0, atol=1e-9)


def test_one_number_a_pair_is_kept_for_the_gradient() -> None:
    for pairs in (64, 1024, 4096):
        similarity, score = drawn(pairs)
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.append(tensor) or tensor, lambda tensor: tensor
        ):
            ranking(similarity.requires_grad_(), score, 0.05)
        assert [tensor.shape for tensor in kept] == [(pairs,)]
