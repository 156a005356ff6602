"""Which tokens see which: what a model does by itself, and decoders made bidirectional.

A decoder of LLaMA's kind reads from left to right. BeLLM (arXiv 2311.05296) lets the tokens of its
last layers see later tokens too; LLM2Vec (arXiv 2404.05961) those of all layers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
)

from pipeline.encoder.stack import layers_of
from pipeline.errors import InputError

_OPENED = "sees_later_tokens"  # the attribute of a layer
_MASKS = "two_way_masks"  # the argument in which the masks travel from the model to its layers


def is_causal(model: PreTrainedModel) -> bool:
    """Return whether no token of ``model`` sees a later one, in any layer.

    Padding on the right then changes no real token, so that no attention mask is needed.
    """
    flags = [module.is_causal for module in model.modules() if hasattr(module, "is_causal")]
    by_config = getattr(model.config, "is_causal", True)
    return bool(flags) and all(flags) and by_config is not False and not _opened(model)


def _opened(model: PreTrainedModel) -> bool:
    return any(getattr(layer, _OPENED, False) for layer in layers_of(model))


def open_layers(model: PreTrainedModel, first: int) -> None:
    """Let the tokens of the layers of a decoder from ``first`` on see later tokens too.

    The masks are made once a forward, from the model's own arguments, and replace the causal one
    where such a layer is called. They travel as an argument, so that gradient checkpointing
    reruns a layer with the masks it had.

    Raises:
        InputError: when the model sees later tokens anyway, or has no layer ``first``.
    """
    if not is_causal(model) or first >= len(layers_of(model)):
        kind, count = type(model).__name__, len(layers_of(model))
        message = (
            f"encoder.bidirectional_from is {first}, but {kind} is no decoder of so many layers: "
            f"it has {count}"
        )
        raise InputError(message)
    model.register_forward_pre_hook(_make_masks, with_kwargs=True)
    for index, layer in enumerate(layers_of(model)):
        opened = index >= first
        vars(layer)[_OPENED] = opened
        window = opened and _has_window(model.config, index)
        kind = ("sliding" if window else "full") if opened else ""
        layer.register_forward_pre_hook(partial(_take_mask, kind), with_kwargs=True)


def _has_window(config: PreTrainedConfig, index: int) -> bool:
    if getattr(config, "sliding_window", None) is None:
        return False
    types = getattr(config, "layer_types", None)
    return types is None or types[index] == "sliding_attention"


def _make_masks(
    model: PreTrainedModel, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Add the bidirectional masks to the arguments of a forward of the whole model."""
    shown = given.get("input_ids")
    shape, device = (shown if shown is not None else given["inputs_embeds"]).shape[:2], model.device
    real = given.get("attention_mask")
    mask = torch.ones(shape, dtype=torch.bool, device=device) if real is None else real.bool()
    # Only its shape, type and place are read.
    states = torch.empty((*shape, 1), dtype=model.dtype, device=device)
    make: dict[str, Any] = {"config": model.config, "inputs_embeds": states, "attention_mask": mask}
    full = create_bidirectional_mask(**make, allow_is_bidirectional_skip=False)
    masks = {"full": full}
    if getattr(model.config, "sliding_window", None) is not None:
        masks["sliding"] = create_bidirectional_sliding_window_mask(
            **make,
            allow_is_bidirectional_skip=False,
        )
    return args, given | {_MASKS: masks}


def _take_mask(
    kind: str, _: Module, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give a layer the mask of its kind ("": its own), and hide the masks from what it calls."""
    masks: dict[str, Tensor] | None = given.get(_MASKS)
    rest = {name: value for name, value in given.items() if name != _MASKS}
    if not kind:
        return args, rest
    if masks is None or "attention_mask" not in given:
        message = (
            "the layers of this model do not take an attention mask by name: "
            "leave encoder.attention at native"
        )
        raise InputError(message)
    return args, rest | {"attention_mask": masks[kind]}
