"""The stage "train": from labelled pairs to a model directory that says how to use itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import chain

from pipeline import gold, leakage, registered
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder
from pipeline.encoder.cache import VectorCache
from pipeline.records import Document, LabeledPair
from pipeline.training import job


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the model directory: adapter, tokenizer and ``angle_adapt.json``.

    Raises:
        LeakageError: before anything is trained, when a pair holds text that measures.
    """
    pairs = store.rows(inputs["curate"], LabeledPair)
    gold_pairs = gold.load(config)
    trained = leakage.Trained(pairs, config.leakage.near_duplicate)
    held_out = leakage.held_out(store.batches(inputs["clean"], Document))
    others = [*leakage.gold_texts(gold_pairs), *registered.texts(config)]
    leakage.refuse(leakage.check(trained, held_out, others), config)
    if config.leakage.embedding == "stop":  # else evaluate reports what is alike
        measured = chain(leakage.views(held_out), others)
        found = leakage.alike(trained, measured, _backbone(config, store), config.leakage.cosine)
        leakage.refuse(leakage.NOTHING.plus(found), config)
    dev = [pair for pair in gold_pairs if pair.split == "dev"]
    start = time.perf_counter()
    spec = job.spec_for(config.encoder, config.train)
    with store.create("model") as draft:
        summary = job.train(job.job(spec, config.train, pairs, dev, store.home), draft.path)
        draft.rows = summary["steps"]
        draft.write_json(summary)
        draft.write_measured({"seconds": time.perf_counter() - start})
    return draft.reference


def _backbone(config: DomainConfig, store: Store) -> Encoder:
    from pipeline.encoder import transformer  # noqa: PLC0415 - torch

    backbone = transformer.load_backbone(transformer.EncoderSpec.of(config.encoder), store.home)
    return VectorCache(backbone, store.home.journal)
