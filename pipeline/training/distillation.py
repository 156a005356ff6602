"""Staying like the frozen backbone, against forgetting what it knew."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

TEXTS: Final = 512  # of a batch that are compared with each other


def drift(vectors: Tensor, frozen: Tensor) -> Tensor:
    """Return the mean squared change of the cosines between the texts of a batch.

    ``vectors`` and ``frozen`` have shape (texts, dimensions); of a larger batch the first 512 texts
    are compared. Relations are kept and not positions, so the space may still turn. The form of
    relational distillation (Park et al., arXiv 1904.05068) over cosines.
    """
    now, before = (
        torch.nn.functional.normalize(part[:TEXTS].float(), dim=-1) for part in (vectors, frozen)
    )
    change = now @ now.T - before @ before.T
    count = len(change)
    return change.square().sum() / max(1, count * (count - 1))
