"""The model folder: what training wrote, and a card with the figures it earned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.artifacts import MANIFEST, Reference, Store
from pipeline.config import DomainConfig
from pipeline.export.dataset import version_of
from pipeline.export.rendering import render

# Of a training artefact, what is about the run and not part of the model.
LEFT_OUT: Final = (MANIFEST, "summary.json", "rows.parquet", "dropped.parquet")

# Built-in backbones by their names on the Hugging Face Hub, with their licences.
HUB_BACKBONES: Final = {
    "smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
}
VERDICTS: Final = {
    "ship": "Better than its backbone on this domain, beyond chance: fit to ship.",
    "inconclusive": "Neither better nor worse than its backbone as far as the figures can tell.",
    "regress": "Worse than its backbone, beyond chance: not fit to ship.",
}


def write(
    folder: Path, inputs: Mapping[str, Reference], config: DomainConfig, store: Store
) -> dict[str, Any]:
    """Write the model of ``inputs["train"]`` into ``folder``; return what it is."""
    shutil.copytree(store.path(inputs["train"]), folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    described = _described(folder / "angle_adapt.json")
    encoder = described.get("encoder", {})
    backbone, licence = _backbone(str(encoder.get("backbone", "")))
    found = store.json(inputs["evaluate"])
    dataset = version_of(config.domain, inputs["curate"])
    card = render(
        "model_card.md.j2",
        front=_front(backbone, licence, config),
        backbone=backbone,
        licence=licence,
        config=config,
        dataset=dataset,
        encoder=encoder,
        training=_flat({k: v for k, v in described.items() if k not in ("encoder", "versions")}),
        versions=described.get("versions", {}),
        train=store.json(inputs["train"]),
        found=found,
        verdict=VERDICTS[found["verdict"]],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return {"backbone": backbone, "dataset": dataset, "digest": inputs["train"].digest}


def _described(path: Path) -> dict[str, Any]:
    """Return what the model says about itself; nothing when it says nothing."""
    if not path.is_file():
        return {}
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return described


def _backbone(name: str) -> tuple[str, str]:
    """Return the public name and the licence of a backbone; a folder's place is not published."""
    if name in HUB_BACKBONES:
        return HUB_BACKBONES[name]
    is_hub_name = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    return (name if is_hub_name else Path(name).name), "other"


def _front(backbone: str, licence: str, config: DomainConfig) -> dict[str, Any]:
    return {
        "license": licence,
        "language": ["en"],
        "base_model": backbone,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-similarity", "feature-extraction", "lora", "angle", config.domain],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as dotted names."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat[prefix + name] = ", ".join(str(item) for item in value)
        else:
            flat[prefix + name] = str(value)
    return flat
