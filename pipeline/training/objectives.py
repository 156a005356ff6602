"""The AnglE objectives (Li & Li, arXiv 2309.12871) for graded labels.

All three take the embeddings of a batch of pairs, ``left`` and ``right`` of shape (pairs,
dimensions), and compute in float32 whatever the precision they are given. Temperatures divide, as
in the paper (0.05 here is the multiplier 20 of ``angle_emb``).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

_NOTHING: Final = -1e4  # a logit whose exponential is 0 in float32; finite, so gradients are too


class PairBatch(NamedTuple):
    """Embeddings of a batch of pairs, their labels, and which text each embedding is of."""

    left: Tensor  # (pairs, dimensions)
    right: Tensor  # (pairs, dimensions)
    score: Tensor  # (pairs,), in [0, 1]; NaN where a pair is known to be positive but has no grade
    text: Tensor  # (2 * pairs,), equal numbers for equal texts, left ones first


class Weights(NamedTuple):
    """Weight and temperature of each objective."""

    cosine: float
    in_batch: float
    angle: float
    cosine_temperature: float
    in_batch_temperature: float
    angle_temperature: float
    positive_threshold: float


def unit(vectors: Tensor) -> Tensor:
    """Return rows of length one, in float32; a row of zeros stays, with a finite gradient."""
    rows = vectors.float()
    norms = rows.norm(dim=-1, keepdim=True)
    scaled: Tensor = rows / norms.masked_fill(norms == 0, 1.0)
    return scaled


def ranking(similarity: Tensor, score: Tensor, temperature: float) -> Tensor:
    """Return log(1 + sum of exp((s_i - s_j) / t)) over all i, j with score_i < score_j.

    ``similarity`` and ``score`` have shape (pairs,). Pairs with equal labels, or with a label that
    is not a number, are not compared; nothing to compare costs nothing. The form of CoSENT
    (https://kexue.fm/archives/8847) and of the paper's equations for cosine and angle.
    """
    gap = (similarity[:, None] - similarity[None, :]) / temperature
    out_of_order = gap[score[:, None] < score[None, :]]
    zero = gap.new_zeros(1)  # the 1 in log(1 + ...)
    return torch.logsumexp(torch.cat([zero, out_of_order]), dim=0)


def cosine(batch: PairBatch, temperature: float) -> Tensor:
    """Return the CoSENT loss: pairs with higher labels have higher cosines."""
    left, right = unit(batch.left), unit(batch.right)
    return ranking((left * right).sum(dim=-1), batch.score.float(), temperature)


def angle(batch: PairBatch, temperature: float) -> Tensor:
    """Return the ranking loss over minus the angle between two vectors seen as complex ones.

    The halves of a vector are real and imaginary parts. With h the Hermitian inner product of two
    vectors, the angle is that of h in the complex plane, ``atan2(|Im h|, Re h)`` in [0, pi]:
    symmetric, 0 at x = y, pi at x = -y. This is the phase difference that the paper's equation
    means; the formula its authors released has its optimum elsewhere (see docs/decisions/0003).
    """
    left, right = unit(batch.left), unit(batch.right)
    (a, b), (c, d) = left.chunk(2, dim=-1), right.chunk(2, dim=-1)
    real, imaginary = (a * c + b * d).sum(dim=-1), (b * c - a * d).sum(dim=-1)
    # A zero vector has no direction: a right angle, and no gradient.
    zero = (real == 0) & (imaginary == 0)
    phase = torch.atan2((imaginary.square() + 1e-12).sqrt().masked_fill(zero, 1.0), real)
    return ranking(-phase / math.pi, batch.score.float(), temperature)


def in_batch_negatives(batch: PairBatch, temperature: float, positive_threshold: float) -> Tensor:
    """Return the InfoNCE loss of every text of a positive pair against all texts of the batch.

    A pair is positive when its label is at or above ``positive_threshold`` or not a number. For an
    anchor, candidates are all other texts of the batch except: the anchor's own text wherever it
    stands, and texts known from the batch to be partly similar to it (they share a pair that is not
    negative, or are positives of a positive). Anchors without a positive are not counted.
    """
    texts = unit(torch.cat([batch.left, batch.right]))
    positive, ignored = _relations(batch, positive_threshold)
    logits = (texts @ texts.T / temperature).masked_fill(ignored, _NOTHING)
    anchors = positive.any(dim=1)
    if not bool(anchors.any()):
        return logits.new_zeros(()) * texts.sum()
    log_share = logits[anchors] - _others(logits, positive)[anchors]
    counts = positive[anchors].sum(dim=1)
    means = log_share.masked_fill(~positive[anchors], 0.0).sum(dim=1) / counts
    return -means.mean()


def _others(logits: Tensor, positive: Tensor) -> Tensor:
    """Return for each anchor and candidate log(exp(candidate) + sum over negatives of exp)."""
    negatives = torch.logsumexp(logits.masked_fill(positive, _NOTHING), dim=1, keepdim=True)
    return torch.logaddexp(logits, negatives)


def _relations(batch: PairBatch, threshold: float) -> tuple[Tensor, Tensor]:
    """Return which candidates are positives of which anchors, and which are not to be compared."""
    pairs = len(batch.score)
    graded = torch.nan_to_num(batch.score.float(), nan=1.0)
    same = batch.text[:, None] == batch.text[None, :]
    near = same.clone()
    linked = torch.zeros_like(same)
    index = torch.arange(pairs, device=same.device)
    is_positive, is_near = graded >= threshold, graded > 0.5 * threshold
    for first, second in ((index, index + pairs), (index + pairs, index)):
        linked[first[is_positive], second[is_positive]] = True
        near[first[is_near], second[is_near]] = True
    # Equal texts share their partners, and a partner's partner is no negative.
    spread = same.float()
    near = (spread @ near.float() @ spread) > 0
    near = (near.float() @ near.float()) > 0
    positive = linked & ~same
    return positive, near & ~positive


def total(batch: PairBatch, weights: Weights) -> dict[str, Tensor]:
    """Return every objective with a weight above zero, and their weighted sum as "loss"."""
    terms: dict[str, Tensor] = {}
    if weights.cosine:
        terms["cosine"] = cosine(batch, weights.cosine_temperature)
    if weights.in_batch:
        terms["in_batch"] = in_batch_negatives(
            batch, weights.in_batch_temperature, weights.positive_threshold
        )
    if weights.angle:
        terms["angle"] = angle(batch, weights.angle_temperature)
    given = weights._asdict()
    terms["loss"] = torch.stack([given[name] * term for name, term in terms.items()]).sum()
    return terms
