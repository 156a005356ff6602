"""Pooling: one vector a text, wherever the padding is."""

from __future__ import annotations

import pytest
import torch

from pipeline.encoder.pooling import POOLINGS, pool
from pipeline.errors import InputError

LENGTHS = [5, 1, 3, 5]


def by_hand(states: torch.Tensor, how: str) -> torch.Tensor:
    """Pool the states of one text without padding, shape (tokens, dimensions)."""
    count = len(states)
    position = torch.arange(1, count + 1)[:, None]
    mean = sum(states) / count
    return {
        "last": states[-1],
        "cls": states[0],
        "mean": mean,
        "weighted_mean": sum(states * position) / sum(range(1, count + 1)),
        "cls_mean": (states[0] + mean) / 2,
    }[how]


def padded(states: list[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad with large values, which a pooling that reads padding cannot hide."""
    longest = max(map(len, states))
    hidden = torch.full((len(states), longest, 4), 1e3)
    mask = torch.zeros(len(states), longest, dtype=torch.bool)
    for row, state in enumerate(states):
        place = slice(len(state)) if side == "right" else slice(longest - len(state), None)
        hidden[row, place], mask[row, place] = state, True
    return hidden, mask


@pytest.mark.parametrize("how", sorted(POOLINGS))
@pytest.mark.parametrize("kind", [torch.bool, torch.long])
def test_padding_on_either_side_changes_nothing(how: str, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    states = [torch.randn(length, 4) for length in LENGTHS]
    wanted = torch.stack([by_hand(state, how) for state in states])
    for side in ("right", "left"):
        hidden, mask = padded(states, side)
        assert torch.allclose(pool(hidden, mask.to(kind), how), wanted, atol=1e-5), side


@pytest.mark.parametrize("how", sorted(POOLINGS))
def test_without_a_mask_every_token_counts(how: str) -> None:
    hidden = torch.randn(3, 6, 4)
    full = torch.ones(3, 6, dtype=torch.bool)
    assert torch.allclose(pool(hidden, None, how), pool(hidden, full, how), atol=1e-6)


def test_means_are_taken_in_float32() -> None:
    """The mean of a thousand ones and a small number is not lost to rounding."""
    hidden = torch.ones(1, 1001, 4, dtype=torch.bfloat16)
    for how in ("mean", "weighted_mean", "cls_mean"):
        assert pool(hidden, None, how).dtype is torch.float32
        assert torch.allclose(pool(hidden, None, how), torch.ones(1, 4), atol=1e-6)


def test_an_unknown_pooling_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match="no pooling 'max'; there are last, mean, weighted_mean"):
        pool(torch.zeros(1, 2, 4), None, "max")
