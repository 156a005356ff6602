"""The model folder: what training wrote, and a card with the figures it earned."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.artifacts import MANIFEST, Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import InputError, ResourceError
from pipeline.export.advice import forgetting
from pipeline.export.dataset import version_of
from pipeline.export.rendering import render
from pipeline.export.report_data import comparisons
from pipeline.export.score_view import scores

log = logging.getLogger(__name__)

# Of a training artefact, what is about the run and not part of the model.
LEFT_OUT: Final = (MANIFEST, "summary.json", "rows.parquet", "dropped.parquet")

# Built-in backbones by their names on the Hugging Face Hub, with their licences.
HUB_BACKBONES: Final = {
    "smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
}
VERDICTS: Final = {
    "ship": "Better than its backbone on this domain, beyond chance: fit to ship.",
    "inconclusive": "Neither better nor worse than its backbone as far as the figures can tell.",
    "regress": "Something that was measured got worse, beyond chance: not fit to ship.",
}
TRAINED: Final = 1.0  # strength of an adapter as it was trained

# Tasks and metrics by the names that sentence-transformers gives them in its cards.
TASKS: Final = {
    "graded": ("semantic-similarity", "Semantic similarity"),
    "binary": ("binary-classification", "Binary classification of pairs"),
    "retrieval": ("information-retrieval", "Information retrieval"),
}
METRICS: Final = {
    "spearman": "spearman_cosine", "pearson": "pearson_cosine", "average_precision": "cosine_ap",
    "best_f1": "cosine_f1", "auroc": "cosine_auroc",
}  # fmt: skip


def write(
    folder: Path, inputs: Mapping[str, Reference], config: DomainConfig, store: Store
) -> dict[str, Any]:
    """Write the model of ``inputs["train"]`` into ``folder``; return what it is.

    Its adapter has the strength that the evaluation chose and measured.
    """
    found = store.json(inputs["evaluate"])
    strength = float(found.get("strength", {}).get("chosen", TRAINED))
    _copy(store.path(inputs["train"]), folder, strength, store)
    described = _described(folder / "angle_adapt.json")
    encoder = described.get("encoder", {})
    backbone, licence = _backbone(str(encoder.get("backbone", "")))
    dataset = version_of(config.domain, inputs["curate"])
    card = render(
        "model_card.md.j2",
        front=_front(backbone, licence, config) | _index(config, found),
        backbone=backbone,
        licence=licence,
        config=config,
        dataset=dataset,
        encoder=encoder,
        training=_flat({k: v for k, v in described.items() if k not in ("encoder", "versions")}),
        versions=described.get("versions", {}),
        train=store.json(inputs["train"]),
        found=found,
        figures=[row for row in comparisons(found) if row["low"] is not None],
        general=forgetting(found["sets"]),
        scores=scores(found["changes"], _cosines(inputs["evaluate"], store)),
        strength=strength,
        verdict=VERDICTS[found["verdict"]],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return {"backbone": backbone, "dataset": dataset, "digest": inputs["train"].digest,
            "strength": strength}  # fmt: skip


def _cosines(evaluated: Reference, store: Store) -> list[dict[str, float]]:
    found: list[dict[str, float]] = store.table(evaluated).select(["base", "adapted"]).to_pylist()
    return found


def _copy(trained: Path, folder: Path, strength: float, store: Store) -> None:
    """Copy a trained model, its adapter made weaker or stronger where another was chosen."""
    if strength == TRAINED:
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        return
    from pipeline.encoder.strength import leave_probe, scaled_copy  # noqa: PLC0415 - imports torch

    scaled_copy(trained, strength, folder, store.home)
    try:
        leave_probe(folder, store.home)
    except (InputError, ResourceError) as error:
        log.warning("the published model has no vectors to be checked by: %s", error)
    for name in LEFT_OUT:
        (folder / name).unlink(missing_ok=True)


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


def _index(config: DomainConfig, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of the adapted model as the Hub's model index has them."""
    labels = found["labels"]
    results = []
    for row in found["sets"]:
        task, name = TASKS[row["kind"]]
        measures = {row["measure"]: row["found"]["adapted"]}
        measures |= {measure: one["adapted"] for measure, one in row["further"].items()}
        measures |= {measure: adapted for measure, (_, adapted) in row["points"].items()}
        results.append({
            "task": {"type": task, "name": name},
            "dataset": {"type": "unknown", "name": f"{config.domain}: {row['name']}"},
            "metrics": [
                {"type": METRICS.get(measure, f"cosine_{measure}"), "value": round(value, 6),
                 "name": labels.get(measure, measure)}
                for measure, value in measures.items()
            ],
        })  # fmt: skip
    return {"model-index": [{"name": config.domain, "results": results}]}


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
