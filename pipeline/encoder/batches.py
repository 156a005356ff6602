"""Batches of token ids: texts of like length together, padded on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Token ids of some texts, padded on the right; ``lengths`` counts real tokens."""

    rows: list[int]
    tokens: Tensor
    lengths: Tensor


def by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length, longest first, ``max_tokens`` tokens with padding."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad(rows: list[list[int]], indices: list[int], pad_id: int) -> Batch:
    """Return ``rows`` as one tensor padded on the right."""
    longest = max(len(row) for row in rows)
    tokens = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows])
    return Batch(indices, tokens, torch.tensor([len(row) for row in rows]))


def real_tokens(lengths: Tensor) -> Tensor | None:
    """Return true where a token is no padding, shape (texts, tokens); None where none is."""
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        return None
    return torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
