"""Batches side by side on a processor: one thread a core, each with a batch of its own.

Left to itself, torch splits every operation over all cores and waits for the slowest at each of
them, hundreds of times a batch. That costs a quarter of the time on a quiet machine and most of it
beside another busy process. With a batch a core, nobody waits before the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

import torch

LEAST_TOKENS: Final = 256  # for each lane

B = TypeVar("B")
R = TypeVar("R")


def lanes_of(device: torch.device, tokens: int) -> int:
    """Return how many batches go side by side: one a thread on a processor, one on a GPU.

    A few tokens are one batch: what a forward costs whatever its size would be paid twice.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    return threads if tokens >= threads * LEAST_TOKENS else 1


def side_by_side(batches: Iterable[B], work: Callable[[B], R], lanes: int) -> Iterator[tuple[B, R]]:
    """Yield each batch with what ``work`` made of it, in their order; ``work`` runs in threads.

    Gradients are off in them, and automatic precision is that of the caller. An exception of
    ``work`` is raised here.
    """
    if lanes == 1:
        for batch in batches:
            yield batch, work(batch)
        return
    taken = list(batches)
    with _one_thread_each(lanes) as pool:
        futures = [pool.submit(work, batch) for batch in taken]
        try:
            for batch, future in zip(taken, futures, strict=True):
                yield batch, future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _one_thread_each(lanes: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads of one core each; what new threads of torch take by default is put back."""
    before = torch.get_num_threads()
    mixed, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    held = threading.local()

    def start() -> None:
        torch.set_num_threads(1)
        held.modes = ExitStack()
        held.modes.enter_context(torch.inference_mode())
        held.modes.enter_context(torch.autocast("cpu", dtype, enabled=mixed))

    try:
        with ThreadPoolExecutor(lanes, "lane", initializer=start) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
