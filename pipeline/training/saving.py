"""A finished run on disk: a model directory that says how to use itself."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pipeline.encoder import Vectors, backbone, probe
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, ModelDescription
from pipeline.training import adapters
from pipeline.training.fit import Trainer, dtype

LIBRARIES: Final = ("torch", "transformers", "peft", "accelerate")


def probed(trainer: Trainer) -> Vectors:
    """Return the vectors that the model gives now to the texts of a probe, (texts, dimensions).

    Every process of a run takes part: none has all of the weights when they are shared out.
    """
    rows = trainer.encoder.token_ids(probe.TEXTS)
    return trainer.vectors(trainer.split.lower(rows, ""))


def save(trainer: Trainer, folder: Path, seen: Vectors | None = None) -> None:
    """Write everything needed to use the model, and what a probe gave; safetensors only.

    ``seen`` is of ``probed``, which is asked here when it is left out.
    """
    spec = trainer.encoder.spec
    trainer.model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    adapters.name_base(folder, spec.backbone)
    trainer.encoder.tokenizer.save_pretrained(str(folder))
    description = ModelDescription(
        format_version=FORMAT_VERSION,
        encoder=spec,
        backbone_identity=backbone.identity(spec.backbone, spec.revision),
        first_layer=trainer.first_layer,
        train=trainer.settings.model_dump(mode="json"),
    )
    text = description.model_dump_json(indent=2) + "\n"
    (folder / MODEL_FILE).write_text(text, encoding="utf-8")
    settings, seen = trainer.settings, probed(trainer) if seen is None else seen
    rows = trainer.encoder.token_ids(probe.TEXTS)
    probe.write(folder, seen, rows, str(dtype(settings)), settings.quantization)


def summary(trainer: Trainer) -> dict[str, Any]:
    """Return what happened while training, as JSON-like data."""
    history = trainer.history
    size = min(trainer.settings.batch_pairs, len(trainer.pairs))
    return {
        "steps": history.steps,
        "epochs": history.steps * size / len(trainer.pairs),
        "stopped_early": history.stopped_early,
        "best_step": history.best_step,
        "base_dev": history.dev_curve[0]["spearman"] if history.dev_curve else None,
        "best_dev": history.best_dev,
        "pairs": len(trainer.pairs),
        "comparisons_per_step": history.comparisons / max(1, history.steps),
        "trainable_parameters": trainer.trainable_parameters,
        "tokens": history.tokens,
        "curve": history.curve,
        "dev_curve": history.dev_curve,
        "gradient_norms": history.gradient_norms,
        "versions": {name: version(name) for name in LIBRARIES},
    }
