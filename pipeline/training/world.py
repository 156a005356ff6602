"""The processes that train together, seen from one of them; alone, everything is a no-op.

A batch is one batch whatever the number of processes: each encodes its share of the texts, all
see all vectors and compute the same loss, each carries its share of the gradient back, and the
gradients of the adapters are added up. The result is that of one process with the same batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import Module, Parameter

T = TypeVar("T")


class World:
    """Rank and number of processes, and what they tell each other."""

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Return every ``size``-th item from the ``rank``-th on: of a sorted list, an even part."""
        return list(items[self.rank :: self.size])

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """Return the rows of all ``total`` items in their order, given those of ``share``."""
        if self.size == 1:
            return rows
        length = -(-total // self.size)
        padded = rows.new_zeros((length, *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total]

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        trained = list(parameters)
        given = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
        flat = torch.cat([gradient.flatten() for gradient in given])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in given])
        for parameter, gradient, part in zip(trained, given, parts, strict=True):
            parameter.grad = part.view_as(gradient).clone()

    def shard(self, layers: Iterable[Module], whole: Collection[Parameter]) -> None:
        """Leave each process a part of every layer's weights, all but those of ``whole``.

        A layer is put together when it runs, and taken apart again (FSDP2, one unit a layer). All
        processes must then run every layer equally often.
        """
        mesh = init_device_mesh(next(iter(whole)).device.type, (self.size,))
        for layer in layers:
            fully_shard(layer, mesh=mesh, ignored_params=set(whole))

    def any(self, *, flag: bool, device: torch.device) -> bool:
        """Return whether the flag is up in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor(int(flag), device=device)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised.item())

    def from_first(self, value: float, device: torch.device) -> float:
        """Return the first process's value, so that all decide alike."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(told, 0)
        return float(told)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            dist.barrier()
