"""What a training run remembers: its curves, and tensors to go on from bit for bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

State = dict[str, Tensor]


@dataclass
class History:
    """What happened while training."""

    curve: list[dict[str, float]] = field(default_factory=list)
    dev_curve: list[dict[str, float]] = field(default_factory=list)
    gradient_norms: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    comparisons: int = 0
    best_step: int = 0
    best_dev: float | None = None
    stale: int = 0
    stopped_early: bool = False

    def facts(self) -> dict[str, Any]:
        """Return the history as JSON-like data."""
        return asdict(self)


def learning_rate(step: int, steps: int, warmup: float, peak: float) -> float:
    """Return the rate of step ``step`` (from 0): linear to ``peak``, then linear towards 0.

    ``warmup`` is the share of ``steps`` that rise.
    """
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    return peak * (steps - step) / max(1, steps - rising)


def trainable(model: Module) -> dict[str, Parameter]:
    """Return the parameters that are trained, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def copied(model: Module) -> State:
    """Return a copy of the trained weights."""
    return {name: value.detach().clone() for name, value in trainable(model).items()}


@torch.no_grad()
def load(model: Module, state: State) -> None:
    """Set the trained weights to ``state``."""
    for name, parameter in trainable(model).items():
        parameter.copy_(state[name])


def captured(model: Module, optimizer: Optimizer, best: State) -> State:
    """Return everything that decides the steps to come, as tensors by name."""
    tensors = {"random": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for name, parameter in trainable(model).items():
        tensors[f"weight.{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


@torch.no_grad()
def restore(model: Module, optimizer: Optimizer, tensors: State) -> State:
    """Put back what `captured` returned; return the best weights so far."""
    torch.set_rng_state(tensors["random"].cpu())
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"].cpu())
    for name, parameter in trainable(model).items():
        parameter.copy_(tensors[f"weight.{name}"])
        keys = [key.split(".", 2)[1] for key in tensors if key.endswith(f".{name}")
                and key.startswith("optimizer.")]  # fmt: skip
        optimizer.state[parameter] = {
            key: tensors[f"optimizer.{key}.{name}"].to(parameter.device) for key in keys
        }
    return {
        name: tensors[f"best.{name}"].to(parameter.device)
        for name, parameter in trainable(model).items()
    }
