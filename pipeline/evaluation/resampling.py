"""Many resamples of a few thousand items, quickly: in blocks that fit the cache, on every core.

A statistic sees resamples as an array of shape (resamples, items), and gives one number for each.
Resamples come in chunks, each with a random generator of its own, so that neither the number of
cores nor the size of a block decides what is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation.metrics import Floats

_BLOCK: Final = 1 << 15  # numbers held at once; larger arrays cost more to allocate than to fill
_CHUNK: Final = 64  # resamples of one generator
_DRAWS, _SWAPS = 0, 1  # so that the two never share a generator

Counts = NDArray[np.int32]
Swaps = NDArray[np.uint8]


class Bootstrap(NamedTuple):
    """How often to resample (and to permute), how wide the interval is, and the seed."""

    resamples: int
    confidence: float
    seed: int


def draws(size: int, bootstrap: Bootstrap, statistic: Callable[[Counts], Floats]) -> Floats:
    """Return ``statistic`` of samples drawn with replacement, shape (resamples,).

    ``statistic`` is given how often each of ``size`` items was drawn, shape (some resamples, size);
    every row sums to ``size``. It is called from several threads.
    """

    def counted(generator: np.random.Generator, rows: int) -> Floats:
        items = generator.integers(0, size, (rows, size))
        items += np.arange(rows)[:, None] * size
        counts = np.bincount(items.ravel(), minlength=rows * size)
        return statistic(counts.reshape(rows, size).astype(np.int32))

    return _on_every_core(size, bootstrap, _DRAWS, counted)


def swaps(size: int, bootstrap: Bootstrap, statistic: Callable[[Swaps], Floats]) -> Floats:
    """Return ``statistic`` of random swaps, shape (resamples,).

    ``statistic`` is given 1 for each of ``size`` items that changes sides and else 0, each as
    likely, shape (some resamples, size). It is called from several threads.
    """
    width = 4 * -(-size // 32)  # whole words, as the generator makes them

    def tossed(generator: np.random.Generator, rows: int) -> Floats:
        packed = np.frombuffer(generator.bytes(rows * width), dtype=np.uint8)
        return statistic(np.unpackbits(packed.reshape(rows, width), axis=1, count=size))

    return _on_every_core(size, bootstrap, _SWAPS, tossed)


def _on_every_core(
    size: int,
    bootstrap: Bootstrap,
    purpose: int,
    work: Callable[[np.random.Generator, int], Floats],
) -> Floats:
    def chunk(start: int) -> Floats:
        generator = np.random.default_rng([bootstrap.seed, purpose, start])
        rows = min(_CHUNK, bootstrap.resamples - start)
        return np.concatenate([work(generator, some) for some in _parts(rows, size)])

    if bootstrap.resamples < 2:
        raise InputError(f"{bootstrap.resamples} resamples show no spread: ask for two at least")
    starts = range(0, bootstrap.resamples, _CHUNK)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(starts)), "resample") as pool:
        return np.concatenate(list(pool.map(chunk, starts)))


def _parts(rows: int, size: int) -> Iterator[int]:
    step = max(1, _BLOCK // size)
    for start in range(0, rows, step):
        yield min(step, rows - start)
