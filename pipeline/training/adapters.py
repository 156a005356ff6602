"""The adapters that are trained: fresh ones in the upper layers, or saved ones gone on with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from huggingface_hub import snapshot_download
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel

from pipeline.encoder import backbone
from pipeline.encoder.adapters import attach
from pipeline.encoder.layers import layer_path, linear_names
from pipeline.encoder.spec import is_ours, read_description
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError
from pipeline.sections import TrainSettings


def prepared(encoder: TransformerEncoder, settings: TrainSettings) -> PeftModel:
    """Return the encoder's model with trainable adapters (float32), everything else frozen.

    LoRA (Hu et al., arXiv 2106.09685), DoRA (Liu et al., arXiv 2402.09353) or rank-stabilised LoRA
    (Kalajdzievski, arXiv 2312.03732). With ``start_from`` the settings of that adapter hold.

    Raises:
        InputError: when there is nothing that the adapters fit.
    """
    try:
        if settings.start_from:
            return _continued(encoder, settings.start_from)
        return cast("PeftModel", get_peft_model(encoder.model, _config(encoder.model, settings)))
    except (ValueError, RuntimeError) as error:
        kind = settings.start_from or settings.adapter
        reason = str(error).strip().splitlines()[0]
        message = f"the adapter {kind!r} does not fit {encoder.spec.backbone!r}: {reason}"
        raise InputError(message) from error


def _config(model: PreTrainedModel, settings: TrainSettings) -> LoraConfig:
    count = model.config.num_hidden_layers
    first = count - max(1, round(settings.lora_depth * count))
    names = "|".join(map(re.escape, settings.lora_targets or linear_names(model)))
    numbers = "|".join(map(str, range(first, count)))
    return LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        use_dora=settings.adapter == "dora",
        use_rslora=settings.adapter == "rslora",
        target_modules=rf"(.*\.)?{re.escape(layer_path(model))}\.({numbers})\.(.*\.)?({names})",
    )


def _continued(encoder: TransformerEncoder, start_from: str) -> PeftModel:
    folder = located(start_from)
    if is_ours(folder):
        wanted = backbone.identity(encoder.spec.backbone, encoder.spec.revision)
        described = read_description(folder)
        if described.backbone_identity != wanted:
            message = f"it was trained on another backbone, {described.encoder.backbone!r}"
            raise ValueError(message)
    model = attach(encoder.model, folder)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    model.peft_config["default"].inference_mode = False
    return model


def located(name: str) -> Path:
    """Return the folder of an adapter: as given, or fetched when it is a Hub name.

    Raises:
        InputError: when it is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        message = f"train.start_from {name!r} is neither a folder nor a Hub name"
        raise InputError(message)
    try:
        kinds = ["*.json", "*.safetensors"]
        return Path(snapshot_download(name, allow_patterns=kinds))
    except (OSError, ValueError) as error:
        message = f"cannot fetch the adapter {name!r}: {str(error).splitlines()[0]}"
        raise InputError(message) from error


def first_layer(model: PeftModel) -> int:
    """Return the number of the lowest transformer layer that is trained."""
    path = re.escape(layer_path(cast("PreTrainedModel", model.get_base_model())))
    pattern = re.compile(rf"(?:^|\.){path}\.(\d+)\.")
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    numbers = [int(match[1]) for name in trained if (match := pattern.search(name))]
    if len(numbers) < len(trained):
        return 0  # something outside of the layers is trained as well
    return min(numbers)


def name_base(folder: Path, name: str) -> None:
    """Write the backbone's name into a saved adapter's configuration, in place of a local path."""
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = name
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
