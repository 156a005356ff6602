"""The evaluate stage: what it reads, which encoders it compares, and what it writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.evaluation import overlap
from pipeline.evaluation.measure import MeasuredPair, measure
from pipeline.records import Document, LabeledPair

if TYPE_CHECKING:
    from pipeline.encoder import Encoder

log = logging.getLogger(__name__)


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Measure the trained model against its backbone; rows are the gold test pairs.

    Raises:
        LeakageError: before any model is loaded, when evaluation text was trained on.
        NotEnoughText: when the test documents are too few to search in.
    """
    pairs = gold.load(config)
    documents = [d for d in store.rows(inputs["clean"], Document) if d.split == "test"]
    checked = overlap.check(pairs, documents, store.rows(inputs["curate"], LabeledPair))
    base, adapted = _encoders(inputs["train"], store)
    tested = [pair for pair in pairs if pair.split == "test"]
    found = measure(base, adapted, tested, documents, config.evaluate)
    log.info("verdict: %s. %s", found.summary["verdict"], " ".join(found.summary["reasons"]))
    with store.create("evaluation") as draft:
        draft.write_rows(found.pairs, MeasuredPair)
        draft.write_json(found.summary | {"overlap": checked})
    return draft.reference


def _encoders(model: Reference, store: Store) -> tuple[Encoder, Encoder]:
    """Return the backbone and the trained model as it loads from disk."""
    from pipeline.encoder import layers, transformer  # noqa: PLC0415 - torch only when needed

    place = store.path(model)
    described = transformer.read_description(place)
    base = transformer.load_backbone(described.encoder, store.home)
    adapted = transformer.load_model(place, store.home)
    return layers.share_lower(base, adapted, described.first_layer)
