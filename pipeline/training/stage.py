"""The stage "train": from labelled pairs to a model directory that says how to use itself."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.records import LabeledPair
from pipeline.training import job


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the model directory: adapter, tokenizer and ``angle_adapt.json``."""
    pairs = store.rows(inputs["curate"], LabeledPair)
    dev = [pair for pair in gold.load(config) if pair.split == "dev"]
    start = time.perf_counter()
    spec = job.spec_for(config.encoder, config.train)
    with store.create("model") as draft:
        summary = job.train(job.job(spec, config.train, pairs, dev, store.home), draft.path)
        draft.rows = summary["steps"]
        draft.write_json(summary)
        draft.write_measured({"seconds": time.perf_counter() - start})
    return draft.reference
