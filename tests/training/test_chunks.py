"""Chunked vectors have the gradients of one large batch, whatever is kept and whatever is rerun."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.sections import TrainSettings
from pipeline.training import presets
from pipeline.training.chunks import Chunk, ChunkedEmbedding, aligned, planned
from pipeline.training.objectives import PairBatch

LENGTHS = (9, 3, 7, 7, 1, 4, 8, 2, 5, 6, 3, 9)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8)).double()


def states() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in LENGTHS]


def loss_of(vectors: Tensor, preset: str) -> Tensor:
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [0, 2]])
    score = torch.tensor([1.0, 0.0, 0.95, 0.5, 0.2, 0.5, 0.3])
    objective = presets.objective(TrainSettings.model_validate({"preset": preset}))
    return objective.terms(PairBatch(vectors, pairs, score))["loss"]


def embedded(net: nn.Module, texts: list[Tensor]) -> Tensor:
    return torch.stack([net(text).mean(dim=0) for text in texts])


@settings(max_examples=20, deadline=None)
@given(
    preset=st.sampled_from(sorted(presets.PRESETS)),
    chunk=st.integers(1, 70),
    graph=st.integers(0, 70),
)
def test_the_gradients_equal_those_of_one_batch(preset: str, chunk: int, graph: int) -> None:
    whole, parts = model(), model()
    expected = loss_of(embedded(whole, states()), preset)
    expected.backward()

    plan = planned(LENGTHS, chunk, graph)
    chunks = ChunkedEmbedding(lambda texts: embedded(parts, texts), states(), plan)
    vectors = chunks.forward().requires_grad_()
    loss = loss_of(vectors, preset)
    loss.backward()
    assert vectors.grad is not None
    chunks.backward(vectors.grad)

    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12)


def test_what_is_rerun_drops_out_what_it_dropped_the_first_time() -> None:
    drop = nn.Dropout(0.5)
    seen: list[Tensor] = []

    def embed(texts: list[Tensor]) -> Tensor:
        found = torch.stack([drop(text * weight).sum(dim=0) for text in texts])
        seen.append(found.detach().clone())
        return found

    weight = torch.ones(6, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    chunks = ChunkedEmbedding(embed, states(), planned(LENGTHS, 9, 0))
    vectors = chunks.forward()
    first = len(seen)
    state = torch.get_rng_state()
    chunks.backward(torch.ones_like(vectors))
    assert len(seen) == 2 * first
    assert all(torch.equal(a, b) for a, b in zip(seen[:first], seen[first:], strict=True))
    assert not torch.equal(seen[0], seen[0] * 0)
    assert torch.equal(torch.get_rng_state(), state)


class Held:
    """What a graph holds for its backward pass, so that its end can be seen."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def test_at_most_one_chunk_beyond_the_budget_is_held() -> None:
    held: list[tuple[int, weakref.ref[Held]]] = []
    passes = most = 0

    def pack(tensor: Tensor) -> Held:
        kept = Held(tensor)
        held.append((passes, weakref.ref(kept)))
        return kept

    def embed(texts: list[Tensor]) -> Tensor:
        nonlocal most, passes
        passes += 1
        found = torch.stack([(text * weight).tanh().sum(dim=0) for text in texts])
        gc.collect()
        most = max(most, len({number for number, kept in held if kept() is not None}))
        return found

    weight = torch.ones(6, dtype=torch.float64, requires_grad=True)
    plan = planned(LENGTHS, 9, 27)
    assert [chunk.keep for chunk in plan] == [True] * 3 + [False] * (len(plan) - 3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        chunks = ChunkedEmbedding(embed, states(), plan)
        vectors = chunks.forward()
        chunks.backward(torch.ones_like(vectors))
    assert passes == 2 * len(plan) - 3
    assert len({number for number, _ in held}) == len(plan)  # each had a graph in its turn
    assert most == 3  # those of the budget; each other is alone in its turn


def test_processes_that_share_layers_run_equally_many_chunks_kept_alike() -> None:
    plans = [planned([9, 9, 3], 9, 18), planned([5], 9, 18), planned([9, 9, 9, 9], 9, 9)]
    assert [len(plan) for plan in plans] == [3, 1, 4]
    same = aligned(plans)
    assert [[chunk.keep for chunk in plan] for plan in same] == [[True, False, False, False]] * 3
    for before, after in zip(plans, same, strict=True):
        assert [chunk.rows for chunk in after if chunk.rows] == [chunk.rows for chunk in before]


def test_a_chunk_without_texts_runs_and_changes_nothing() -> None:
    runs = 0

    def embed(texts: list[Tensor]) -> Tensor:
        nonlocal runs
        runs += 1
        return torch.stack([(text * weight).sum(dim=0) for text in texts])

    weight = torch.ones(6, dtype=torch.float64, requires_grad=True)
    plan = [Chunk([1, 0], keep=True), Chunk([], keep=True), Chunk([], keep=False)]
    chunks = ChunkedEmbedding(embed, states()[:2], plan)
    vectors = chunks.forward()
    chunks.backward(torch.ones_like(vectors))
    assert runs == 4  # each once, and again where no graph was kept
    assert torch.equal(vectors, torch.stack([text.sum(dim=0) for text in states()[:2]]))
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.cat(states()[:2]).sum(dim=0))
