"""The gradient of one batch: encode, compare, carry back; in whatever memory there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

import torch
from peft import PeftModel
from torch import Tensor

from pipeline.encoder.layers import SplitEncoder
from pipeline.errors import ResourceError
from pipeline.training.chunks import Chunk, ChunkedEmbedding, aligned, planned
from pipeline.training.distillation import drift
from pipeline.training.objectives import PairBatch, WeightedSum
from pipeline.training.texts import TextStates
from pipeline.training.world import World

log = logging.getLogger(__name__)

T = TypeVar("T")


class Figures(NamedTuple):
    """What one batch came to; ``norms`` are `gradient_norms` where they were asked for."""

    terms: dict[str, float]
    tokens: int
    norms: dict[str, float]


class Batch(NamedTuple):
    """The distinct texts of a batch (numbers, longest first), and its pairs as rows of them."""

    texts: list[int]
    pairs: Tensor  # (pairs, 2)
    score: Tensor  # (pairs,)


class Memory:
    """How much is run and kept at a time; halved when there is too little."""

    def __init__(self, chunk_tokens: int, graph_tokens: int) -> None:
        self.chunk_tokens, self.graph_tokens = chunk_tokens, graph_tokens

    def halve(self, longest: int) -> None:
        """Go on with half; ``longest`` is the length of the longest text, which must fit.

        Raises:
            ResourceError: when one text at a time is too much already.
        """
        if self.chunk_tokens < longest and self.graph_tokens == 0:
            message = (
                f"out of memory with one text of {longest} tokens at a time: lower "
                "encoder.max_length, or use a smaller backbone or train.quantization=nf4"
            )
            raise ResourceError(message)
        if self.graph_tokens:
            self.graph_tokens = self.graph_tokens // 2 if self.graph_tokens > 64 else 0
        self.chunk_tokens = max(1, self.chunk_tokens // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            "train: out of memory; going on with %d tokens at a time (the batch stays as large)",
            self.chunk_tokens,
        )


class TooLargeError(Exception):
    """Some process ran out of memory; all of them try again with less."""


class BatchGradient:
    """Adds the gradient of a batch's loss to the adapters'; the loss itself is float32."""

    def __init__(
        self,
        model: PeftModel,
        split: SplitEncoder,
        objective: WeightedSum,
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.model, self.split, self.objective, self._autocast = model, split, objective, autocast
        self.world = World()
        self.depths: tuple[int, ...] = ()  # further layers whose vectors are trained
        self.frozen: Tensor | None = None  # vectors of all texts before training, to stay near
        self.distill_weight = 0.0
        self.sharded = False  # whether the processes hold parts of the layers

    def add(
        self, batch: Batch, states: TextStates, memory: Memory, *, measure: bool = False
    ) -> Figures:
        """Compute the gradient of one batch, with less at a time for as long as memory runs out.

        With ``measure`` the norms of the terms' gradients are looked at; they change nothing.

        Raises:
            ResourceError: when not even one text at a time fits.
        """
        random = torch.get_rng_state()
        while True:
            try:
                return self._attempt(batch, states, memory, measure=measure)
            except TooLargeError:
                self.model.zero_grad()
                torch.set_rng_state(random)
                memory.halve(max(states.lengths[text] for text in batch.texts))

    def _attempt(
        self, batch: Batch, states: TextStates, memory: Memory, *, measure: bool
    ) -> Figures:
        self.model.train()
        rank, size = self.world.rank, self.world.size
        share = self.world.share(batch.texts)
        given = share or batch.texts[:1]  # a process without a text has nothing to add
        plan = self._plan(batch, states.lengths, memory)
        chunks = ChunkedEmbedding(self._embed, self._states(batch, given, states), plan)
        own = self._together(lambda: chunks.forward()[: len(share)])
        vectors = self.world.gather(own, len(batch.texts)).requires_grad_()

        norms: dict[str, float] = {}

        def back() -> dict[str, float]:
            terms = self._terms(vectors, batch)
            if measure:
                norms.update(gradient_norms(terms, self._weights(), vectors))
            terms["loss"].backward()
            gradient = torch.zeros_like(vectors) if vectors.grad is None else vectors.grad
            part = gradient.new_zeros((len(given), *gradient.shape[1:]))
            part[: len(share)] = gradient[rank::size]
            chunks.backward(part)
            return {name: float(term.detach()) for name, term in terms.items()}

        values = self._together(back)
        self.world.add_gradients(p for p in self.model.parameters() if p.requires_grad)
        return Figures(values, sum(states.lengths[text] for text in batch.texts), norms)

    def _states(self, batch: Batch, given: list[int], states: TextStates) -> list[Tensor]:
        """Return the states of some texts; with shared layers all processes run those of all."""
        if not self.sharded:
            return states.of(given)
        every = dict(zip(batch.texts, states.of(batch.texts), strict=True))
        return [every[text] for text in given]

    def _plan(self, batch: Batch, lengths: Sequence[int], memory: Memory) -> list[Chunk]:
        """Return the chunks of this process; all have as many when they share the layers."""
        size = self.world.size
        shares = [batch.texts[rank::size] or batch.texts[:1] for rank in range(size)]
        plans = [
            planned([lengths[text] for text in share], memory.chunk_tokens, memory.graph_tokens)
            for share in shares
        ]
        return (aligned(plans) if self.sharded else plans)[self.world.rank]

    def _embed(self, states: list[Tensor]) -> Tensor:
        """Return float32 vectors, shape (texts, depths, dimensions), the full depth last."""
        with self._autocast():
            if self.depths:
                return torch.stack(self.split.upper_at(states, self.depths), dim=1).float()
            return self.split.upper(states).float()[:, None]

    def _terms(self, vectors: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return each objective, averaged over the depths, and the weighted sum as "loss"."""
        place = vectors.device
        pairs, score = batch.pairs.to(place), batch.score.to(place)
        found = [
            self.objective.terms(PairBatch(vectors[:, depth], pairs, score))
            for depth in range(vectors.shape[1])
        ]
        terms = {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
        if self.frozen is not None:
            terms["distill"] = drift(vectors[:, -1], self.frozen[batch.texts])
            terms["loss"] = terms["loss"] + self.distill_weight * terms["distill"]
        return terms

    def _weights(self) -> dict[str, float]:
        distilled = {} if self.frozen is None else {"distill": self.distill_weight}
        return self.objective.weights | distilled

    def _together(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, unless any process ran out of memory over it."""
        done: list[T] = []
        try:
            done.append(work())
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if self.world.any(flag=not done, device=self.model.device):
            raise TooLargeError
        return done[0]


def gradient_norms(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], vectors: Tensor
) -> dict[str, float]:
    """Return the mean norm of each weighted term's gradient, over the texts of a batch.

    The gradient is that by the directions of the texts' vectors, so a norm is how much the term
    changes for each radian that one text turns: norms compare whatever the lengths of the vectors.
    Saturated cosines leave the cosine term little of it (AnglE, arXiv 2309.12871).

    Args:
        terms: scalars of ``vectors``, without their weights; the graph is kept.
        weights: of the terms that are looked at.
        vectors: shape (texts, depths, dimensions); those of the last depth, the model's, count.
    """
    lengths = vectors.detach()[:, -1].norm(dim=-1)
    found = {}
    for name, weight in weights.items():
        (by,) = torch.autograd.grad(terms[name], vectors, retain_graph=True)
        found[name] = float((weight * by[:, -1].norm(dim=-1) * lengths).mean())
    return found


def out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on a GPU or in main memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )


def batch_of(pairs: Sequence[tuple[int, int, float]], lengths: Sequence[int]) -> Batch:
    """Return a batch, given the numbers of its pairs' texts, their scores, and all lengths."""
    numbers = {text for first, second, _ in pairs for text in (first, second)}
    texts = sorted(numbers, key=lambda text: (-lengths[text], text))
    row = {text: index for index, text in enumerate(texts)}
    index = torch.tensor([[row[first], row[second]] for first, second, _ in pairs])
    return Batch(texts, index, torch.tensor([score for _, _, score in pairs]))
