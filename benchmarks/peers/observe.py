"""Watching a model of any library: its steps, its tokens, what it is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Module
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import AutoTokenizer

from benchmarks.peers import gauge
from benchmarks.peers.gauge import Gauge, Job


def watch(model: Module, measured: Gauge) -> None:
    """Tell ``measured`` of every optimiser step, and of the tokens that go into ``model``."""
    watch_steps(measured)

    def count(_: Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        features = given[0] if given else named
        measured.tokens += int(features["attention_mask"].sum())

    model.register_forward_pre_hook(count, with_kwargs=True)


def watch_steps(measured: Gauge) -> None:
    """Tell ``measured`` of every step of every optimiser."""
    register_optimizer_step_post_hook(lambda *_: measured.step())


def described(model: Module) -> dict[str, Any]:
    """Return the fields of a `Training` that a trained model tells."""
    weights = dict(model.named_parameters())
    moved = [weight.detach().abs().max() for name, weight in weights.items() if "lora_B" in name]
    trainable = sum(weight.numel() for weight in weights.values() if weight.requires_grad)
    return {"trainable": trainable, "moved": float(max(moved)), **settings(model)}


def settings(model: Module) -> dict[str, Any]:
    """Return what a run depends on besides its job."""
    return {
        "precision": str(next(model.parameters()).dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": gauge.versions(),
    }


def texts(job: Job) -> list[str]:
    """Return the texts to encode."""
    return [str(row["text"]) for row in gauge.rows(job.data)]


def template_tokens(job: Job) -> int:
    """Return how many tokens the template has, its place for the text left empty."""
    tokenizer = AutoTokenizer.from_pretrained(job.backbone)
    return len(tokenizer(job.template.replace("{text}", ""))["input_ids"])
