"""The publish stage: the dataset and the model as other teams will find them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.export import dataset, model

log = logging.getLogger(__name__)


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write ``dataset/`` and ``model/`` with their cards; nothing in them depends on the clock."""
    with store.create("publication") as draft:
        found = {
            "dataset": dataset.write(draft.path / "dataset", inputs, config, store),
            "model": model.write(draft.path / "model", inputs, config, store),
            "verdict": store.json(inputs["evaluate"])["verdict"],
        }
        draft.rows = inputs["curate"].rows
        draft.write_json(found)
    log.info("published %s (%s)", found["dataset"]["version"], found["verdict"])
    return draft.reference
