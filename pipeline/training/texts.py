"""The distinct texts of a run: tokenised once, frozen layers run once where they fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

from pipeline.encoder.layers import SplitEncoder
from pipeline.encoder.transformer import TransformerEncoder

KEPT_BYTES: Final = 2**30  # hidden states that are kept for the whole run


class TextStates:
    """What enters the trained layers, text by text.

    The frozen layers below them give the same every time. They run once for every text when the
    outcome fits in ``KEPT_BYTES``, else again in every batch.
    """

    def __init__(
        self, encoder: TransformerEncoder, split: SplitEncoder, texts: Sequence[str], label: str
    ) -> None:
        self._split = split
        self._ids = encoder.token_ids(texts)
        self.lengths = [len(row) for row in self._ids]
        item = encoder.model.config.hidden_size * encoder.model.dtype.itemsize
        fits = sum(self.lengths) * item <= KEPT_BYTES
        self._kept = split.lower(self._ids, label) if fits else None

    def of(self, places: Sequence[int]) -> list[Tensor]:
        """Return the states, shape (tokens, dimensions) each, of the texts with these numbers."""
        if self._kept is not None:
            return [self._kept[place] for place in places]
        return self._split.lower([self._ids[place] for place in places], "")

    def all(self) -> list[Tensor]:
        """Return the states of every text."""
        return self.of(range(len(self.lengths)))
