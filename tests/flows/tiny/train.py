"""A model that is one number."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import InputError
from tiny import note

MOST_EPOCHS = 1_000


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Return the model."""
    note("train")
    if config.train.epochs > MOST_EPOCHS:
        message = f"{config.train.epochs:g} epochs are too many for one number"
        raise InputError(message)
    with store.create("model") as draft:
        draft.write_json(
            {
                "weight": config.train.epochs * inputs["mine"].rows,
                "pairs": round(config.train.share * inputs["mine"].rows),
                "seed": config.train.seed,
            }
        )
    return draft.reference
