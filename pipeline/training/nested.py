"""Matryoshka training: the leading dimensions of a vector are a good vector on their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.errors import InputError
from pipeline.training.objectives import Objective, PairBatch


class Matryoshka(Objective):
    """The mean of an objective over the leading k dimensions, for every k, and the full width.

    Kusupati et al., arXiv 2205.13147, with equal weights. What is cut is made of length one again.
    """

    def __init__(self, objective: Objective, dimensions: Sequence[int]) -> None:
        super().__init__()
        self.objective = objective
        self.dimensions = tuple(sorted(set(dimensions)))

    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return the mean; a k that is the full width counts once.

        Raises:
            InputError: when a k is wider than the vectors, or below 1.
        """
        width = batch.vectors.shape[-1]
        if self.dimensions and not 1 <= self.dimensions[0] <= self.dimensions[-1] <= width:
            message = (
                f"train.matryoshka asks for {list(self.dimensions)} leading dimensions of vectors "
                f"that have {width}: give numbers from 1 to {width}"
            )
            raise InputError(message)
        cuts = [batch.vectors[:, :k] for k in self.dimensions if k < width]
        losses = [self.objective(batch._replace(vectors=cut)) for cut in cuts]
        return torch.stack([*losses, self.objective.of_unit(batch)]).mean()
