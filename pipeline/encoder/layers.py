"""An encoder cut in two: lower layers that stay frozen, upper layers that are trained.

When adapters sit in the upper layers alone, the lower ones give the same output for a text every
time. They run once per text, without a graph; training and scoring start from what they left. With
half of the layers cut off that halves the cost of a step and the memory of its graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from pipeline.encoder import Encoder, Vectors
from pipeline.encoder.batches import Batch, by_length
from pipeline.encoder.lanes import lanes_of, side_by_side
from pipeline.encoder.stack import Run, Stack, layer_path, linear_names
from pipeline.encoder.transformer import NO_START, Start, TransformerEncoder
from pipeline.errors import InputError
from pipeline.progress import Progress

__all__ = ["SplitEncoder", "layer_path", "linear_names", "share_lower"]


class SplitEncoder:
    """The layers of an encoder's model below ``first``, and from ``first`` on; weights are shared.

    ``model`` is the encoder's model or what adapters made of it.

    Raises:
        InputError: when the model has no list of layers, or no layer ``first``.
    """

    def __init__(self, encoder: TransformerEncoder, model: PreTrainedModel, first: int) -> None:
        self.encoder, self.first = encoder, first
        self._model, self._stack = model, Stack(model)
        if not 0 <= first < self._stack.count:
            message = f"{encoder.spec.backbone!r} has {self._stack.count} layers, and no {first}"
            raise InputError(message)

    @torch.no_grad()
    def lower(self, rows: list[list[int]], label: str, start: Start = NO_START) -> list[Tensor]:
        """Return the hidden states that enter layer ``first``, (tokens, dimensions) for each row.

        Dropout is off whatever the model's mode, because the states are kept. With an empty
        ``label`` no progress is shown. The tokens of ``start`` stand before those of every row, and
        have no states.
        """
        hidden: list[Tensor] = [torch.empty(0)] * len(rows)
        run = Run(range(self.first), keep=(self.first,))

        def states_of(batch: Batch) -> Tensor:
            tokens = batch.tokens.to(self._model.device)
            whole = run._replace(cache=start.repeated(len(tokens)))
            self._stack(tokens, self.encoder.attention_mask(batch.lengths), whole)
            return self._stack.kept[self.first]

        lanes = lanes_of(self._model.device, sum(map(len, rows)))
        with _scoring(self._model), Progress(label, len(rows), "text") as progress:
            batches = self.encoder.batches(rows, lanes)
            for batch, states in side_by_side(batches, states_of, lanes):
                for row, state, length in zip(batch.rows, states, batch.lengths, strict=True):
                    hidden[row] = state[:length].clone()
                progress.advance(len(batch.rows))
        return hidden

    def upper(self, hidden: Sequence[Tensor], start: Start = NO_START) -> Tensor:
        """Return pooled vectors, (texts, dimensions), for texts whose lower states are given."""
        return self.upper_at(hidden, (self._stack.count,), start)[0]

    def upper_at(
        self, hidden: Sequence[Tensor], depths: Sequence[int], start: Start = NO_START
    ) -> list[Tensor]:
        """Return pooled vectors after so many layers, one (texts, dimensions) for each depth.

        The layers run once. After each depth comes what the model puts after its last layer (the
        final norm of decoders and ModernBERT), as in a model that was cut there.

        Raises:
            InputError: when a depth is not above ``first`` or the model has fewer layers.
        """
        if not all(self.first < depth <= self._stack.count for depth in depths):
            message = f"depths {tuple(depths)} are not within {self.first + 1}..{self._stack.count}"
            raise InputError(message)
        lengths = torch.tensor([len(state) for state in hidden])
        padded = pad_sequence(list(hidden), batch_first=True)
        mask = self.encoder.attention_mask(lengths)
        deepest, early = max(depths), sorted(set(depths) - {max(depths)})
        run = Run(range(self.first, deepest), keep=early, cache=start.repeated(len(hidden)))
        found = {deepest: self._stack.resume(padded, mask, run)}
        if early:
            states = torch.cat([self._stack.kept[depth] for depth in early])
            masks = None if mask is None else mask.repeat(len(early), 1)
            end = range(self._stack.count, self._stack.count)
            parts = self._stack.resume(states, masks, Run(end)).chunk(len(early))
            found |= dict(zip(early, parts, strict=True))
        return [self.encoder.pool(found[depth], lengths) for depth in depths]

    @torch.no_grad()
    def vectors(
        self, hidden: Sequence[Tensor], label: str = "upper layers", start: Start = NO_START
    ) -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions), for lower hidden states.

        ``start`` is what `TransformerEncoder.start` returns with the weights as they are now.
        """
        found = np.zeros((len(hidden), self.encoder.dimensions), dtype=np.float32)
        lengths = [len(state) for state in hidden]

        def unit_length(chosen: list[int]) -> Tensor:
            pooled = self.upper([hidden[index] for index in chosen], start).float()
            return torch.nn.functional.normalize(pooled, dim=-1).cpu()

        with _scoring(self._model), Progress(label, len(hidden), "text") as progress:
            batches = by_length(lengths, self.encoder.max_tokens)
            lanes = lanes_of(self._model.device, sum(lengths))
            for chosen, pooled in side_by_side(batches, unit_length, lanes):
                found[chosen] = pooled.numpy()
                progress.advance(len(chosen))
        return found


@contextmanager
def _scoring(model: PreTrainedModel) -> Iterator[None]:
    """Put a model into evaluation mode, and back after."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class _Shared:
    """An encoder that runs its lower layers only for texts that nobody has run them for."""

    def __init__(self, split: SplitEncoder, memory: dict[str, Tensor]) -> None:
        self._split, self._memory = split, memory

    @property
    def identity(self) -> str:
        return self._split.encoder.identity

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._memory]
        states = self._split.lower(self._split.encoder.token_ids(missing), label)
        self._memory |= dict(zip(missing, states, strict=True))
        return self._split.vectors([self._memory[text] for text in texts], label)


def share_lower(
    base: TransformerEncoder, adapted: TransformerEncoder, first: int
) -> tuple[Encoder, Encoder]:
    """Return the two encoders such that the layers below ``first`` run once per text for both.

    The weights of these layers must be equal, as they are in a model and its backbone when the
    adapters begin at layer ``first``. Encoders that make different tokens or masks of a text share
    nothing, and are returned as they are.
    """
    below = {"backbone", "revision", "template", "max_length", "attention", "bidirectional_from"}
    if base.spec.model_dump(include=below) != adapted.spec.model_dump(include=below):
        return base, adapted
    memory: dict[str, Tensor] = {}
    splits = [SplitEncoder(encoder, encoder.model, first) for encoder in (base, adapted)]
    one, other = (_Shared(split, memory) for split in splits)
    return one, other
