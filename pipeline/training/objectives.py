"""The AnglE objectives (Li & Li, arXiv 2309.12871) for graded labels.

Each is a module that takes a `PairBatch` and returns a scalar, computed in float32 whatever the
precision of the vectors (in float64 when they are). Temperatures divide similarities, as in the
paper; ``angle_emb`` multiplies by a ``tau`` instead, so its 20 is 0.05 here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.training.ranking import ranking, with_gradient
from pipeline.training.relations import Anchors, Positives, Relations

AngleForm = Literal["phase", "released"]

# Logits of in-batch negatives computed at a time: 16 MiB in float32.
BLOCK: Final = 2**22
# Inner products of unit vectors below this are rounding errors in float32: they have no phase.
LEAST: Final = 1e-6


class PairBatch(NamedTuple):
    """The embeddings of the distinct texts of a batch, and its pairs with their labels."""

    vectors: Tensor  # (texts, dimensions)
    pairs: Tensor  # (pairs, 2), long: rows of `vectors`
    score: Tensor  # (pairs,), in [0, 1]; NaN: known to be positive, but without a grade

    @classmethod
    def of(cls, left: Tensor, right: Tensor, score: Tensor) -> Self:
        """Return the batch of ``left`` and ``right``, (pairs, dimensions), all texts distinct."""
        rows = torch.arange(2 * len(left), device=left.device)
        return cls(torch.cat([left, right]), rows.view(2, -1).T, score)

    @property
    def left(self) -> Tensor:
        """The first text of each pair; shape (pairs, dimensions)."""
        return self.vectors.index_select(0, self.pairs[:, 0])

    @property
    def right(self) -> Tensor:
        """The second text of each pair; shape (pairs, dimensions)."""
        return self.vectors.index_select(0, self.pairs[:, 1])


class Objective(nn.Module, ABC):
    """What a batch of embeddings costs, by their directions alone; a scalar, smaller is better."""

    def forward(self, batch: PairBatch) -> Tensor:
        """Return what ``batch`` costs, its vectors being of any length."""
        return self.of_unit(normalised(batch))

    @abstractmethod
    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return what ``batch`` costs, its vectors being of length one: what a kind defines."""


class Cosine(Objective):
    """The CoSENT loss: pairs with higher labels have higher cosines (see `ranking`)."""

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = temperature

    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return the ranking loss over the cosines."""
        return ranking((batch.left * batch.right).sum(dim=-1), batch.score, self.temperature)


class Angle(Objective):
    """A ranking loss over the angle between two vectors seen as complex ones.

    The first half of a vector holds real parts, the second imaginary ones. With x = a + bi,
    y = c + di and their Hermitian inner product h = sum(ac + bd) + i sum(bc - ad), of vectors of
    length one, the similarity that is ranked (see `ranking`) is

    * ``phase``: ``-atan2(|Im h|, Re h) / pi``, from 0 to -1: minus the phase difference that the
      paper's equation means. Symmetric; largest at x = y (and wherever h is real and positive),
      least at x = -y. Where |h| is below 1e-6, as with a vector of zeros, the angle is a right one
      without gradient; above, the gradient grows as 1 / |h|.
    * ``released``: ``|Re h + Im h|``, what the authors' ``angle_emb`` computes (0.6.1,
      https://github.com/SeanLee97/AnglE). The same 1 for x = y and x = -y, largest (at most the
      square root of 2) where the phase is 45 degrees and not at x = y, and not symmetric: a
      regulariser beside other objectives, for comparison. See docs/decisions/0003.
    """

    def __init__(self, temperature: float = 1.0, form: AngleForm = "phase") -> None:
        super().__init__()
        self.temperature, self.form = temperature, form

    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return the ranking loss over the angles.

        Raises:
            InputError: when the vectors have an odd number of dimensions.
        """
        if batch.vectors.shape[-1] % 2:
            message = (
                f"the angle objective needs an even number of dimensions, not "
                f"{batch.vectors.shape[-1]}: change the dimensions or set train.angle_weight to 0"
            )
            raise InputError(message)
        left, right = batch.left, batch.right
        (a, b), (c, d) = left.chunk(2, dim=-1), right.chunk(2, dim=-1)
        real, imaginary = (left * right).sum(dim=-1), (b * c - a * d).sum(dim=-1)
        similarity = (real + imaginary).abs()
        if self.form == "phase":
            similarity = _phase(real, imaginary) / -math.pi
        return ranking(similarity, batch.score, self.temperature)


class InBatchNegatives(Objective):
    """InfoNCE of every text with a positive against all other texts of the batch.

    For an anchor with a positive the loss is -log(exp(p) / (exp(p) + sum over candidates of
    exp(n))), with p and n cosines divided by the temperature. Which texts are positives, which
    candidates and what each anchor counts is said by `Relations`; texts without a positive are
    candidates but no anchors. A batch without positives costs 0.

    Logits are made, and their gradient with them, in blocks of rows: memory grows with the number
    of texts, not with its square.
    """

    def __init__(
        self, temperature: float = 0.05, positive_threshold: float = 0.9,
        positives: Positives = "threshold",
    ) -> None:  # fmt: skip
        super().__init__()
        self.temperature, self.positive_threshold = temperature, positive_threshold
        self.positives: Positives = positives

    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return the loss of the anchors, weighted by their shares."""
        relations = Relations.of(
            batch.pairs.cpu().numpy(), batch.score.float().cpu().numpy(), len(batch.vectors),
            self.positive_threshold, self.positives,
        )  # fmt: skip
        texts = batch.vectors
        with torch.no_grad(), torch.autocast(texts.device.type, enabled=False):
            loss, gradient = texts.new_zeros(()), torch.zeros_like(texts)
            for block in relations.blocks(max(1, BLOCK // max(1, len(texts)))):
                loss += _add_block(texts, gradient, block, self.temperature)
            gradient /= self.temperature
        return with_gradient(texts, loss, gradient)


class WeightedSum(Objective):
    """The weighted sum of named objectives; those that weigh 0 are left out."""

    def __init__(self, terms: Mapping[str, tuple[float, Objective]]) -> None:
        super().__init__()
        kept = {name: term for name, term in terms.items() if term[0]}
        self.weights = {name: weight for name, (weight, _) in kept.items()}
        self.objectives = nn.ModuleDict({name: term for name, (_, term) in kept.items()})
        if not kept or "loss" in kept:
            message = "a weighted sum needs a weight other than 0, and no term of the name 'loss'"
            raise ValueError(message)

    def of_unit(self, batch: PairBatch) -> Tensor:
        """Return the weighted sum."""
        return self._terms(batch)["loss"]

    def terms(self, batch: PairBatch) -> dict[str, Tensor]:
        """Return each term without its weight, and the weighted sum as "loss"."""
        return self._terms(normalised(batch))

    def _terms(self, batch: PairBatch) -> dict[str, Tensor]:
        objectives = cast("Mapping[str, Objective]", self.objectives)
        terms = {name: term.of_unit(batch) for name, term in objectives.items()}
        weighted = [self.weights[name] * term for name, term in terms.items()]
        return terms | {"loss": torch.stack(weighted).sum()}


def normalised(batch: PairBatch) -> PairBatch:
    """Return ``batch`` with vectors of length one, in float32 (float64 stays); zeros stay zeros."""
    rows = batch.vectors if batch.vectors.dtype == torch.float64 else batch.vectors.float()
    norms = rows.norm(dim=-1, keepdim=True)
    return batch._replace(vectors=rows / norms.masked_fill(norms == 0, 1.0))


def _phase(real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the angle of complex numbers to the positive real ones, from 0 to pi."""
    none = real.square() + imaginary.square() < LEAST**2
    return torch.atan2(imaginary.abs().masked_fill(none, 1.0), real.masked_fill(none, 0.0))


def _add_block(texts: Tensor, gradient: Tensor, block: Anchors, temperature: float) -> Tensor:
    """Return the loss of some anchors; add its gradient by the logits' cosines, times temperature.

    With n the log of the sum over an anchor's candidates, a positive p costs log(1 + exp(n - p)).
    """
    anchors, row, positive, excluded = (
        torch.from_numpy(array).to(texts.device)
        for array in (block.texts, block.row, block.positive, block.excluded)
    )
    share = torch.from_numpy(block.share).to(texts.dtype).to(texts.device)
    own = texts[anchors]
    logits = own @ texts.T / temperature
    wanted = logits[row, positive]
    logits.masked_fill_(excluded, -torch.inf)
    top = logits.amax(dim=1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
    logits.sub_(top).exp_()
    total = logits.sum(dim=1)
    gap = (total.log() + top.squeeze(1))[row] - wanted
    pull = share * gap.sigmoid()
    push = torch.zeros_like(total).index_add_(0, row, pull)
    logits.mul_((push / total.clamp(min=torch.finfo(total.dtype).tiny))[:, None])
    logits[row, positive] = -pull
    gradient.index_add_(0, anchors, logits @ texts)
    gradient.addmm_(logits.T, own)
    return (share * torch.logaddexp(gap, torch.zeros_like(gap))).sum()
