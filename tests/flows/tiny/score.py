"""Cosines that are the nearer to gold, the heavier the model and the more pairs it saw."""

from __future__ import annotations

import random
from collections.abc import Mapping

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.trials.scores import ScoredPair, summary
from tiny import note


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Return the scored gold pairs."""
    note("score")
    model = store.json(inputs["train"])
    noise = 12 / (model["weight"] + model["pairs"])
    rows = []
    for pair in gold.load(config):
        drawn = random.Random(f"{pair.id}-{model['seed']}").gauss(0, noise)
        rows.append(
            ScoredPair(id=pair.id, split=pair.split, gold=pair.score, base=0.5 + drawn / 100,
                       adapted=pair.score + drawn)
        )  # fmt: skip
    with store.create("scores") as draft:
        draft.write_rows(rows, ScoredPair)
        draft.write_json(summary(rows))
    return draft.reference
