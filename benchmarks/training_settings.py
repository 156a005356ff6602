"""What the presets of objectives and the samplers are worth on the default domain's dev pairs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import Final

from benchmarks._record import Figure, Measurement
from benchmarks._workload import DOMAIN
from pipeline import config as configuration
from pipeline import gold, graph
from pipeline.artifacts import Reference, Store
from pipeline.records import LabeledPair
from pipeline.sections import TrainSettings
from pipeline.settings import home

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On the default domain the project's own mix of objectives is at least as good, by gold dev "
    "pairs and over seeds, as the published ones with the same number of steps; the graded sampler "
    "gives more ordered comparisons a step where labels are coarse or skewed."
)
SEED: Final = 13
SEEDS: Final = (13, 14)
PRESETS: Final = ("default", "paper", "llama-nli", "angle_emb-0.6")
QUICK: Final = {"epochs": 0.2, "evaluations": 1, "lora_depth": 0.1}
# Grades as people give them, most of them low: the shares of 0 to 5 in a mined corpus.
SKEWED: Final = (0.0,) * 45 + (0.2,) * 20 + (0.4,) * 14 + (0.6,) * 10 + (0.8,) * 7 + (1.0,) * 4


def measure(*, quick: bool) -> Measurement:
    """Train each preset with each seed, and the default with graded batches; score dev pairs."""
    pairs, dev = _data()
    seeds = SEEDS[:1] if quick else SEEDS
    presets = PRESETS[:2] if quick else PRESETS
    found = {
        preset: fmean(_trained(pairs, dev, quick=quick, preset=preset, seed=seed) for seed in seeds)
        for preset in presets
    }
    graded = fmean(_trained(pairs, dev, quick=quick, sampler="graded", seed=seed) for seed in seeds)
    others = max(value for preset, value in found.items() if preset != "default")
    figures = [
        Figure.of(f"dev rho, preset {preset}", value, "", ">=") for preset, value in found.items()
    ]
    gain = found["default"] - others
    target = None if quick else 0.0
    figures += [
        Figure.of("default preset less the best other", gain, "", ">=", target),
        Figure.of("dev rho, default preset, graded sampler", graded, "", ">="),
    ]
    labels = [pair.score for pair in pairs]
    figures += _comparisons("the domain's labels", labels)
    figures += _comparisons("skewed grades", SKEWED * (len(pairs) // len(SKEWED)))
    return Measurement(tuple(figures), SEED)


def _data() -> tuple[list[LabeledPair], list[gold.GoldPair]]:
    """Return the training pairs and the gold dev pairs of the default domain."""
    config = configuration.load(DOMAIN)
    store = Store(home())
    found: dict[str, Reference] = {}
    for name in ("collect", "clean", "mine", "label", "curate"):
        found[name] = graph.materialise(graph.STAGES[name], found, config, store).entry.reference
    dev = [pair for pair in gold.load(config) if pair.split == "dev"]
    return store.rows(found["curate"], LabeledPair), dev


def _trained(
    pairs: list[LabeledPair], dev: list[gold.GoldPair], *, quick: bool, **changed: object
) -> float:
    """Return the best dev rho of a run, in [-1, 1]."""
    from pipeline.encoder.spec import EncoderSpec  # noqa: PLC0415 - imports torch
    from pipeline.encoder.transformer import load_backbone  # noqa: PLC0415
    from pipeline.training.dev import DevScore  # noqa: PLC0415
    from pipeline.training.fit import Trainer  # noqa: PLC0415

    config = configuration.load(DOMAIN)
    settings = TrainSettings.model_validate(changed | (QUICK if quick else {}))
    encoder = load_backbone(EncoderSpec.of(config.encoder), home())
    trainer = Trainer(encoder, pairs, settings)
    history = trainer.run(DevScore(trainer, dev[:60] if quick else dev))
    log.info("%s: dev rho %.4f", changed, history.best_dev)
    return history.best_dev or 0.0


def _comparisons(name: str, labels: Sequence[float]) -> list[Figure]:
    """Return the ordered comparisons of a batch of 32 under both samplers, over 20 epochs."""
    from pipeline.training.batches import SAMPLERS, batches, comparisons  # noqa: PLC0415

    count = 20 * (len(labels) // 32)
    means = {
        sampler: fmean(
            comparisons([labels[number] for number in batch])
            for batch in islice(batches(labels, 32, SEED, sampler), count)
        )
        for sampler in sorted(SAMPLERS)
    }
    return [
        Figure.of(f"ordered comparisons a step, {name}, {sampler}", value, "of 496", ">=")
        for sampler, value in means.items()
    ]
