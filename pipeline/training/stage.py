"""The stage "train": from labelled pairs to a model directory that says how to use itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import backbone, cosine
from pipeline.encoder.transformer import (
    FORMAT_VERSION,
    MODEL_FILE,
    EncoderSpec,
    ModelDescription,
    load_backbone,
)
from pipeline.errors import NotEnoughText
from pipeline.gold import GoldPair
from pipeline.records import LabeledPair
from pipeline.training.fit import Trainer

LIBRARIES: Final = ("torch", "transformers", "peft", "accelerate")


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the model directory: adapter, tokenizer and ``angle_adapt.json``."""
    pairs = store.rows(inputs["curate"], LabeledPair)
    if len(pairs) < 2:  # a ranking needs two
        message = f"{len(pairs)} labelled pairs are too few to train on"
        raise NotEnoughText(message)
    dev = [pair for pair in gold.load(config) if pair.split == "dev"]
    start = time.perf_counter()
    spec = EncoderSpec.of(config.encoder)
    encoder = load_backbone(spec, store.home)
    trainer = Trainer(encoder, pairs, config.train)
    history = trainer.run(dev_score(trainer, dev) if dev else None)
    with store.create("model") as draft:
        save(trainer, spec, config, draft.path)
        draft.rows = history.steps
        draft.write_json(
            {
                "steps": history.steps,
                "epochs": history.steps * config.train.batch_pairs / len(pairs),
                "stopped_early": history.stopped_early,
                "best_step": history.best_step,
                "base_dev": history.dev_curve[0]["spearman"] if history.dev_curve else None,
                "best_dev": history.best_dev,
                "pairs": len(pairs),
                "trainable_parameters": trainer.trainable_parameters,
                "tokens": history.tokens,
                "curve": history.curve,
                "dev_curve": history.dev_curve,
                "versions": {name: version(name) for name in LIBRARIES},
            }
        )
        draft.write_measured({"seconds": time.perf_counter() - start})
    return draft.reference


def dev_score(trainer: Trainer, dev: list[GoldPair]) -> Callable[[], float]:
    """Return a function that scores the model, as it is then, on the gold dev pairs."""
    texts = [pair.sentence1 for pair in dev] + [pair.sentence2 for pair in dev]
    hidden = trainer.split.lower(trainer.encoder.token_ids(texts), "dev pairs")
    wanted = np.array([pair.score for pair in dev])

    def score() -> float:
        vectors = trainer.vectors(hidden)
        cosines = cosine(vectors[: len(dev)], vectors[len(dev) :])
        value = float(spearmanr(cosines, wanted).statistic)
        return value if np.isfinite(value) else 0.0

    return score


def save(trainer: Trainer, spec: EncoderSpec, config: DomainConfig, folder: Path) -> None:
    """Write everything needed to use the model; safetensors only."""
    trainer.model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    adapter = folder / "adapter_config.json"
    settings = json.loads(adapter.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = spec.backbone
    adapter.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    trainer.encoder.tokenizer.save_pretrained(str(folder))
    description = ModelDescription(
        format_version=FORMAT_VERSION,
        encoder=spec,
        backbone_identity=backbone.identity(spec.backbone, spec.revision),
        first_layer=trainer.first_layer,
        train=config.train.model_dump(mode="json"),
    )
    text = description.model_dump_json(indent=2) + "\n"
    (folder / MODEL_FILE).write_text(text, encoding="utf-8")
