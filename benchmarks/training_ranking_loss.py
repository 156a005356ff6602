"""The ranking loss of large batches: how much faster than its formula, and with how much memory."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks._record import Figure, Measurement
from pipeline.training.ranking import ranking

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two threads, the ranking loss of 4,096 pairs and its gradient take at most a hundredth of "
    "the time that comparing every pair with every other takes, give the same to nine decimals, "
    "and need memory in proportion to the number of pairs."
)
SIZES: Final = (1_024, 2_048, 4_096)
LABELS: Final = 26  # 0 to 5 in steps of 0.2
TEMPERATURE: Final = 0.05
THREADS: Final = 2
RUNS: Final = 15
QUICK_RUNS: Final = 5
SEED: Final = 13
MEBIBYTE: Final = 2**20

Loss = Callable[[Tensor, Tensor, float], Tensor]


class Made(TorchDispatchMode):
    """Counts the bytes of all tensors that operations give; nothing can need more at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 0

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:  # fmt: skip
        """Run the operation and count."""
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            self.size += tensor.nbytes if isinstance(tensor, Tensor) else 0
        return out


def measure(*, quick: bool) -> Measurement:
    """Measure both forms, one after the other in turns; ``quick`` takes fewer turns."""
    with _threads(THREADS):
        return Measurement((*_times(QUICK_RUNS if quick else RUNS), *_memory(), *_error()), SEED)


def compared(similarity: Tensor, score: Tensor, temperature: float) -> Tensor:
    """Return the loss from the matrix of all differences, as its formula says."""
    gaps = ((similarity[:, None] - similarity[None, :]) / temperature)[
        score[:, None] < score[None, :]
    ]
    return torch.cat([gaps.new_zeros(1), gaps]).logsumexp(dim=0)


def drawn(pairs: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return random similarities, and labels with many ties; both of shape (pairs,)."""
    generator = torch.Generator().manual_seed(SEED)
    similarity = torch.rand(pairs, generator=generator, dtype=dtype) * 2 - 1
    score = torch.randint(0, LABELS, (pairs,), generator=generator) / (LABELS - 1)
    return similarity, score


def _step(loss: Loss, similarity: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    leaf = similarity.clone().requires_grad_()
    value = loss(leaf, score, TEMPERATURE)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def _times(runs: int) -> list[Figure]:
    pairs = SIZES[-1]
    similarity, score = drawn(pairs)
    taken: dict[Loss, list[float]] = {compared: [], ranking: []}
    for turn in range(runs + 1):
        log.info("turn %d of %d", turn, runs)
        for loss, seconds in taken.items():
            start = time.perf_counter()
            _step(loss, similarity, score)
            seconds.append(time.perf_counter() - start)
    slow, fast = (statistics.median(seconds[1:]) for seconds in taken.values())  # first: a warm-up
    return [
        Figure.of(f"faster, {pairs:,} pairs, median of {runs}", slow / fast, "times", ">=", 100),
        Figure.of("sorted, loss and gradient", 1e3 * fast, "ms"),
        Figure.of("every pair with every other", 1e3 * slow, "ms"),
    ]


def _memory() -> list[Figure]:
    sizes = [_made(ranking, pairs) for pairs in SIZES]
    growth = [
        Figure.of(f"memory, {few:,} to {many:,} pairs", after / before, "times", "<=", 2.2)
        for (few, many), (before, after) in zip(pairwise(SIZES), pairwise(sizes), strict=True)
    ]
    whole = _made(compared, SIZES[-1])
    return [
        *growth,
        Figure.of("sorted, all tensors made", sizes[-1] / MEBIBYTE, "MiB"),
        Figure.of("every pair with every other, all tensors made", whole / MEBIBYTE, "MiB"),
    ]


def _made(loss: Loss, pairs: int) -> int:
    similarity, score = drawn(pairs)
    made = Made()
    with made:
        _step(loss, similarity, score)
    return made.size


def _error() -> list[Figure]:
    similarity, score = drawn(SIZES[-1], torch.float64)
    (expected, slopes), (value, gradient) = (
        _step(loss, similarity, score) for loss in (compared, ranking)
    )
    largest = max(float((value - expected).abs()), float((gradient - slopes).abs().max()))
    return [
        Figure.of("largest difference of loss or gradient, in 1e-9", largest * 1e9, "", "<=", 1)
    ]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
