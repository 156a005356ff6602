"""The card of an export: that of the model, with how to use this format before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from pipeline.export.formats.source import Source
from pipeline.export.rendering import render

_LIBRARIES: Final = {
    "sentence-transformers": "sentence-transformers",
    "peft": "peft",
    "onnx": "onnx",
    "gguf": "gguf",
}


def card(source: Source, manifest: Mapping[str, Any]) -> str:
    """Return the README.md of an export; the model's own card is kept below."""
    front, body = _split(source)
    name: str = manifest["format"]
    front |= {"library_name": _LIBRARIES[name], "pipeline_tag": "sentence-similarity"}
    front["base_model"] = manifest["source"]["backbone"]
    if "/" not in front["base_model"] or front["base_model"].startswith("/"):
        del front["base_model"]  # a place on one machine, and no name
    kind = {"adapter": "adapter", "merged": "finetune"}[manifest["form"]]
    quantised = manifest["precision"] in ("int8", "q8_0")
    front["base_model_relation"] = "quantized" if quantised else kind
    tags = [*front.get("tags", ()), "sentence-similarity", "feature-extraction", name]
    front["tags"] = list(dict.fromkeys(tags))
    return render(
        "export_card.md.j2", front=front, body=body, manifest=manifest, parity=manifest["parity"]
    )


def _split(source: Source) -> tuple[dict[str, Any], str]:
    """Return front matter and text of the model's card; nothing where it has none."""
    path = source.path / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text.startswith("---\n"):
        return {}, text
    front, _, body = text.removeprefix("---\n").partition("\n---")
    try:
        read = yaml.safe_load(front)
    except yaml.YAMLError:
        read = None
    return (read if isinstance(read, dict) else {}), body.lstrip("\n")
