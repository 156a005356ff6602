"""Training and encoding with this project, run by its own interpreter."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers import gauge, observe
from benchmarks.peers.gauge import Encoding, Gauge, Job, Training
from pipeline.encoder.transformer import EncoderSpec, TransformerEncoder, load_backbone
from pipeline.records import LabeledPair
from pipeline.sections import EncoderSettings, TrainSettings
from pipeline.settings import home
from pipeline.training.fit import Trainer

LIBRARY = "angle-adapt"


def train(job: Job) -> Training:
    """Train one epoch with the default settings; adapters in every layer when the job says so."""
    encoder = _encoder(job)
    encoder.encode(["one text"])
    measured = Gauge()
    observe.watch_steps(measured)
    measured.start()
    trainer = Trainer(encoder, _pairs(job), _settings(job))
    measured.tokens = trainer.run(None).tokens
    found = observe.described(trainer.model)
    return Training(library=LIBRARY, **measured.result(), **found)


def encode(job: Job) -> Encoding:
    """Encode as the pipeline does."""
    encoder = _encoder(job)
    seconds, vectors = gauge.timed(encoder.encode, observe.texts(job), job.sizes)
    if job.vectors:
        np.save(job.vectors, vectors, allow_pickle=False)
    return Encoding(library=LIBRARY, seconds=seconds, **observe.settings(encoder.model))


def _encoder(job: Job) -> TransformerEncoder:
    settings = EncoderSettings(
        backbone=job.backbone, template=job.template, pooling="last", max_length=job.text_tokens
    )
    precision = None if job.precision == "own" else getattr(torch, job.precision)
    return load_backbone(EncoderSpec.of(settings), home(), precision)


def _settings(job: Job) -> TrainSettings:
    given = {
        "epochs": 1,
        "batch_pairs": job.batch_pairs,
        "lora_rank": job.lora_rank,
        "lora_alpha": job.lora_alpha,
        "learning_rate": job.learning_rate,
        "seed": job.seed,
    }
    depth = {"lora_depth": 1.0} if job.adapters == "everywhere" else {}
    return TrainSettings.model_validate(given | depth)


def _pairs(job: Job) -> list[LabeledPair]:
    kept = {"strategy": "benchmark", "split": "train", "document1": "", "document2": ""}
    return [
        LabeledPair.model_validate({"id": str(number), **row, **kept})
        for number, row in enumerate(gauge.rows(job.data))
    ]


if __name__ == "__main__":
    gauge.main(train=train, encode=encode)
