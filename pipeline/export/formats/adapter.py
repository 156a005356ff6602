"""Adapters beside a backbone, as peft writes and ``PeftModel.from_pretrained`` reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel

from pipeline.encoder import Vectors
from pipeline.encoder.adapters import inner
from pipeline.encoder.spec import ADAPTER_FILE, MODEL_FILE, EncoderSpec, base_of
from pipeline.encoder.transformer import TransformerEncoder, load_backbone
from pipeline.errors import InputError
from pipeline.export.formats.manifest import read_manifest
from pipeline.export.formats.source import WEIGHTS, Source, built_in, write_json
from pipeline.export.model import HUB_BACKBONES
from pipeline.settings import Home

KEPT: Final = (MODEL_FILE, "measured.json")


def write(source: Source, folder: Path, precision: str, form: str) -> dict[str, Any]:  # noqa: ARG001
    """Write adapters, tokenizer and what our own programs read; return what a reader should know.

    Raises:
        InputError: when the model has no adapters.
    """
    write_weights(source, folder)
    for name in KEPT:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, folder / name)
    source.encoder.tokenizer.save_pretrained(folder)
    return {"needs": "peft, transformers", "backbone_weights": backbone_note(source)}


def write_weights(source: Source, folder: Path) -> None:
    """Write the adapters as they were trained, and the public name of their backbone.

    Raises:
        InputError: when the model has none.
    """
    if not source.has_adapter:
        message = f"{source.path} is a whole model, without adapters: leave --adapter out"
        raise InputError(message)
    shutil.copyfile(source.path / WEIGHTS, folder / WEIGHTS)
    settings = json.loads((source.path / ADAPTER_FILE).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = source.public_backbone
    write_json(folder / ADAPTER_FILE, settings)


def refuse_changed_backbone(source: Source) -> None:
    """Refuse a model whose backbone is not used as it is: adapters alone cannot say so.

    Raises:
        InputError: says what to do.
    """
    spec = source.spec
    changed = f"layers: {spec.layers}" if spec.layers else ""
    if spec.attention == "bidirectional":
        changed = "attention: bidirectional"
    if changed:
        message = (
            f"{source.path} uses its backbone with {changed}, which the adapters alone do not say: "
            "export with --merged"
        )
        raise InputError(message)


def backbone_note(source: Source) -> str:
    """Return which weights the figures of an adapter were measured on."""
    if source.spec.backbone in HUB_BACKBONES:
        return (
            f"measured on the weights of the package that carries {source.spec.backbone}, which "
            "were quantised to about 4 bits; those of this name on the Hub are not, so vectors "
            "made on them differ somewhat"
        )
    return "measured on the backbone that is named"


def vectors(folder: Path, texts: Sequence[str], home: Home) -> Vectors:
    """Return the vectors of the backbone with the adapters beside its weights, float32.

    Raises:
        InputError: when a file is missing.
    """
    spec = EncoderSpec.model_validate(read_manifest(folder)["encoder"])
    base = spec.model_copy(update={"backbone": built_in(base_of(folder))})
    encoder = load_backbone(base, home, torch.float32)
    adapted = PeftModel.from_pretrained(encoder.model, str(folder)).eval()
    beside = TransformerEncoder(inner(adapted), encoder.tokenizer, encoder.spec, "export")
    return beside.encode(list(texts))
