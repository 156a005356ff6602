"""LoRA adapters read from safetensors into a loaded backbone, checked tensor by tensor.

Adapters of a causal language model (peft's ``CAUSAL_LM``) name its layers "model.layers"; here the
same layers are loaded without the LM head, as "layers". peft itself would leave such an adapter
out with a warning, and the vectors would silently be those of the backbone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

import torch
from peft import PeftConfig, PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.disk import file_digest
from pipeline.errors import InputError

WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."


def digest(path: Path) -> str:
    """Return the digest of an adapter's weights.

    Raises:
        InputError: when there are none as safetensors.
    """
    weights = path / WEIGHTS
    if weights.is_file():
        return file_digest(weights)
    if (path / "adapter_model.bin").is_file():
        message = (
            f"{path} holds its adapter as a pickle (adapter_model.bin), which can run code and is "
            "not read: convert it to safetensors on a machine you can lose, with "
            "PeftModel.from_pretrained(...).save_pretrained(...)"
        )
        raise InputError(message)
    message = f"{path} is incomplete: {WEIGHTS} is missing"
    raise InputError(message)


def attach(model: PreTrainedModel, path: Path) -> PeftModel:
    """Return ``model`` with the adapter in ``path``, frozen and not merged.

    Raises:
        InputError: when the adapter and the model do not fit; names both.
    """
    digest(path)
    owner = f"the adapter {path} does not fit the backbone {model.config.name_or_path!r}"
    try:
        state = _renamed(load_file(path / WEIGHTS), model)
        config = PeftConfig.from_pretrained(str(path))
        config.inference_mode = True
        _drop_empty(config, state)
        adapted = PeftModel(model, config)
        result: Any = set_peft_model_state_dict(adapted, state)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        message = f"{owner}: {reason}"
        raise InputError(message) from error
    unset = [key for key in result.missing_keys if "lora_" in key]
    strange = list(result.unexpected_keys)
    if unset or strange:
        message = (
            f"{owner}: {len(unset)} of its places stay empty, "
            f"{len(strange)} of its tensors have none, "
            f"such as {(unset + strange)[0]}"
        )
        raise InputError(message)
    return adapted.eval()


def inner(adapted: PeftModel) -> PreTrainedModel:
    """Return the backbone inside, whose linear layers carry the adapters."""
    return cast("PreTrainedModel", adapted.get_base_model())


def merged(adapted: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """Return the backbone with the adapters added to its weights, then rounded to ``dtype``.

    Buffers keep their precision: rounded rotary frequencies would turn late tokens wrongly.
    """
    model = cast("PreTrainedModel", adapted.merge_and_unload(safe_merge=True))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _renamed(state: dict[str, Tensor], model: PreTrainedModel) -> dict[str, Tensor]:
    """Take the name of the model inside a causal language model out of the names of tensors."""
    head = _PREFIX + model.base_model_prefix + "."
    inside = {name for name, _ in model.named_children()}
    if model.base_model_prefix in inside or not all(name.startswith(head) for name in state):
        return state
    return {_PREFIX + name.removeprefix(head): tensor for name, tensor in state.items()}


def _drop_empty(config: Any, state: dict[str, Tensor]) -> None:  # noqa: ANN401 - of any adapter
    """Forget modules that the adapter claims to have saved whole, and has no tensor of."""
    saved = getattr(config, "modules_to_save", None) or []
    kept = [module for module in saved if any(f".{module}." in name for name in state)]
    if saved:
        config.modules_to_save = kept or None
