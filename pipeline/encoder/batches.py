"""Batches of token ids: texts of like length together, padded on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

import torch
from torch import Tensor

WASTE: Final = 64  # tokens; on two cores, what a forward costs whatever its size


class Batch(NamedTuple):
    """Token ids of some texts, padded on the right; ``lengths`` counts real tokens."""

    rows: list[int]
    tokens: Tensor
    lengths: Tensor


def by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length, longest first, ``max_tokens`` tokens with padding.

    A batch ends earlier when its padding would come to more than ``WASTE`` tokens: another batch
    costs about as much.
    """
    batch: list[int] = []
    padding = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batch[0]] if batch else lengths[index]
        padding += longest - lengths[index]
        if batch and (padding > WASTE or (len(batch) + 1) * longest > max_tokens):
            yield batch
            batch, padding = [], 0
        batch.append(index)
    if batch:
        yield batch


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


def common_start(rows: Sequence[list[int]]) -> int:
    """Return how many tokens all rows begin with; at least one of every row is left over."""
    first, last = min(rows, default=[]), max(rows, default=[])
    longest = min((len(row) for row in rows), default=1) - 1
    same = (one == other for one, other in zip(first, last, strict=False))
    return min(longest, sum(takewhile(bool, same)))
