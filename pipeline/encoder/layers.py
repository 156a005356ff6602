"""An encoder cut in two: lower layers that stay frozen, upper layers that are trained.

When adapters sit in the upper layers alone, the lower ones give the same output for a text every
time. They run once per text, without a graph; training and scoring start from what they left. With
half of the layers cut off that halves the cost of a step and the memory of its graph.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import Identity, ModuleList
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from pipeline.encoder import Encoder, Vectors
from pipeline.encoder.transformer import TransformerEncoder, by_length
from pipeline.errors import InputError
from pipeline.progress import Progress


class SplitEncoder:
    """Views on the layers of an encoder's model below and from ``first`` on; weights are shared."""

    def __init__(self, encoder: TransformerEncoder, model: PreTrainedModel, first: int) -> None:
        if not hasattr(model, "layers"):
            message = f"{encoder.spec.backbone!r} is not of the LLaMA type (no list of layers)"
            raise InputError(message)
        self.encoder = encoder
        self._lower = _view(model, slice(0, first))
        self._lower.norm = Identity()
        self._upper = _view(model, slice(first, None))

    @torch.no_grad()
    def lower(self, rows: list[list[int]], label: str) -> list[Tensor]:
        """Return the hidden states below the cut, (tokens, dimensions) for each row of ids."""
        hidden: list[Tensor] = [torch.empty(0)] * len(rows)
        with Progress(label, len(rows), "text") as progress:
            for batch in self.encoder.batches(rows):
                tokens = batch.tokens.to(self._lower.device)
                states = self._lower(input_ids=tokens, use_cache=False).last_hidden_state
                for row, state, length in zip(batch.rows, states, batch.lengths, strict=True):
                    hidden[row] = state[:length].clone()
                progress.advance(len(batch.rows))
        return hidden

    def upper(self, hidden: Sequence[Tensor]) -> Tensor:
        """Return pooled vectors for texts whose lower hidden states are given."""
        lengths = torch.tensor([len(state) for state in hidden], device=hidden[0].device)
        padded = pad_sequence(list(hidden), batch_first=True)
        states = self._upper(inputs_embeds=padded, use_cache=False).last_hidden_state
        return self.encoder.pool(states, lengths)

    @torch.no_grad()
    def vectors(self, hidden: Sequence[Tensor], label: str = "upper layers") -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions), for lower hidden states."""
        found = np.zeros((len(hidden), self.encoder.model.config.hidden_size), dtype=np.float32)
        lengths = [len(state) for state in hidden]
        with Progress(label, len(hidden), "text") as progress:
            for chosen in by_length(lengths, self.encoder.max_tokens):
                pooled = self.upper([hidden[index] for index in chosen]).float()
                found[chosen] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
                progress.advance(len(chosen))
        return found


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
    adapters begin at layer ``first``.
    """
    memory: dict[str, Tensor] = {}
    splits = [SplitEncoder(encoder, encoder.model, first) for encoder in (base, adapted)]
    one, other = (_Shared(split, memory) for split in splits)
    return one, other


def _view(model: PreTrainedModel, layers: slice) -> PreTrainedModel:
    """Return ``model`` with some of its layers; every module is the model's own."""
    view = copy.copy(model)
    view._modules = dict(model._modules)  # a copy of the list, not of the modules
    view.layers = ModuleList(list(model.layers)[layers])  # type: ignore[arg-type]
    return view
