"""Vectors of any number of texts in the memory of a few: GradCache (Gao et al., arXiv 2101.06983).

The texts run through the model in chunks. Those whose activations fit in a budget keep their graph;
the others run without one and again when their gradient is known. The loss sees plain vectors, so
this works for every objective, and the gradients are those of one large batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.encoder.batches import by_length

Embed = Callable[[list[Tensor]], Tensor]


class Chunk(NamedTuple):
    """Texts that run together; one without texts runs the first text and drops the outcome."""

    rows: list[int]
    keep: bool  # whether its graph is kept until the backward pass


def planned(lengths: Sequence[int], chunk_tokens: int, graph_tokens: int) -> list[Chunk]:
    """Return all rows in chunks of texts of like length, ``chunk_tokens`` each, padding included.

    Graphs are kept of the first chunks, of ``graph_tokens`` tokens together at most.
    """
    chunks, kept = [], 0
    for rows in by_length(lengths, chunk_tokens):
        kept += sum(lengths[row] for row in rows)
        chunks.append(Chunk(rows, keep=kept <= graph_tokens))
    return chunks


def aligned(plans: Sequence[list[Chunk]]) -> list[list[Chunk]]:
    """Return the plans of several processes with equal numbers of chunks, kept or not alike.

    Processes that hold parts of one model's layers must run them equally often, in equal order.
    """
    longest = max(len(plan) for plan in plans)
    keep = [all(plan[i].keep for plan in plans if i < len(plan)) for i in range(longest)]
    return [
        [Chunk(plan[i].rows if i < len(plan) else [], keep[i]) for i in range(longest)]
        for plan in plans
    ]


@dataclass
class _Pass:
    rows: list[int]
    vectors: Tensor | None  # with their graph, where it was kept
    random: list[Tensor]  # the generators' states before it ran, for dropout


class ChunkedEmbedding:
    """The vectors of one batch of texts, and the way of their gradient back.

    ``embed`` maps the states of some texts to vectors, shape (texts, ...). Beside the activations
    of the chunks that are kept there are never more than those of one other.
    """

    def __init__(self, embed: Embed, states: Sequence[Tensor], plan: Sequence[Chunk]) -> None:
        self._embed, self._states, self._plan = embed, states, plan
        self._passes: list[_Pass] = []

    def _run(self, rows: Sequence[int]) -> Tensor:
        return self._embed([self._states[row] for row in rows or [0]])

    def forward(self) -> Tensor:
        """Return vectors without a graph, shape (texts, ...), in the order of the states."""
        parts = []
        for chunk in self._plan:
            random = _random_states(self._states[0].device)
            with torch.set_grad_enabled(chunk.keep):
                part = self._run(chunk.rows)
            self._passes.append(_Pass(chunk.rows, part if chunk.keep else None, random))
            parts.append(part.detach()[: len(chunk.rows)])
        order = torch.tensor([row for chunk in self._plan for row in chunk.rows], dtype=torch.long)
        return torch.cat(parts)[order.argsort().to(parts[0].device)]

    def backward(self, gradient: Tensor) -> None:
        """Add to the parameters' gradients, given that of the loss by the vectors."""
        for ran in sorted(self._passes, key=lambda ran: ran.vectors is None):
            vectors, ran.vectors = ran.vectors, None  # its graph is freed before others are made
            if vectors is None:
                with _replayed(ran.random):
                    vectors = self._run(ran.rows)
            own = gradient[torch.tensor(ran.rows, dtype=torch.long, device=gradient.device)]
            torch.autograd.backward(vectors, own if ran.rows else torch.zeros_like(vectors))


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


@contextmanager
def _replayed(states: list[Tensor]) -> Iterator[None]:
    """Run a block from given states of the generators, and leave them as they were before it."""
    with torch.random.fork_rng(enabled=True):
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state(states[1])
        yield
