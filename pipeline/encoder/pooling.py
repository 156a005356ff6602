"""From the hidden states of a text's tokens to one vector.

Every kind of pooling gives the same vector whether padding is on the right or on the left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from pipeline.errors import InputError

Pooling = Callable[[Tensor, Tensor | None], Tensor]


def pool(hidden: Tensor, mask: Tensor | None, how: str) -> Tensor:
    """Return one vector a text, shape (texts, dimensions).

    Args:
        hidden: hidden states, shape (texts, tokens, dimensions).
        mask: true where a token is no padding, shape (texts, tokens), at least one a text; None
            where no text is padded, which is faster.
        how: a name in ``POOLINGS``.

    Raises:
        InputError: when ``how`` is no such name.
    """
    check(how)
    return POOLINGS[how](hidden, mask)


def check(how: str) -> None:
    """Refuse a pooling that does not exist.

    Raises:
        InputError: names those that do.
    """
    if how not in POOLINGS:
        message = f"there is no pooling {how!r}; there are {', '.join(POOLINGS)}"
        raise InputError(message)


def _last(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the state of the last token: the one that has seen all of a text in a decoder."""
    if mask is None:
        return hidden[:, -1]
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), last]


def _cls(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the state of the first token, which BERT calls [CLS]."""
    if mask is None:
        return hidden[:, 0]
    first = mask.int().argmax(dim=1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]


def _mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return hidden.float().mean(dim=1)
    return _weighted(hidden, mask.float())


def _weighted_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean with weights 1 to n over the n tokens of a text (SGPT, arXiv 2202.08904)."""
    real = torch.ones(hidden.shape[:2], device=hidden.device) if mask is None else mask.float()
    return _weighted(hidden, real.cumsum(dim=1) * real)


def _cls_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of ``cls`` and ``mean``, which angle_emb calls cls_avg."""
    return (_cls(hidden, mask).float() + _mean(hidden, mask)) / 2


def _weighted(hidden: Tensor, weights: Tensor) -> Tensor:
    total = torch.einsum("btd,bt->bd", hidden.float(), weights)
    return total / weights.sum(dim=1, keepdim=True)


POOLINGS: Final[dict[str, Pooling]] = {
    "last": _last,
    "mean": _mean,
    "weighted_mean": _weighted_mean,
    "cls": _cls,
    "cls_mean": _cls_mean,
}
