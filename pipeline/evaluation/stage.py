"""The evaluate stage: what it reads, which encoders it compares, and what it writes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline import gold, leakage, registered
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder.cache import VectorCache
from pipeline.evaluation.measure import MeasuredPair, measure
from pipeline.leakage import Leak, Trained
from pipeline.records import Document, LabeledPair
from pipeline.registered import Text

if TYPE_CHECKING:
    from pipeline.encoder import Encoder, Vectors

log = logging.getLogger(__name__)


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Measure the trained model against its backbone; rows are the gold test pairs.

    Raises:
        LeakageError: when evaluation text was trained on; before any model is loaded, unless it
            shows in vectors alone.
        NotEnoughText: when the test documents are too few to search in.
    """
    pairs, held_out = gold.load(config), leakage.held_out(store.batches(inputs["clean"], Document))
    trained = Trained(store.rows(inputs["curate"], LabeledPair), config.leakage.near_duplicate)
    others = [*leakage.gold_texts(pairs), *registered.texts(config)]
    report = leakage.check(trained, held_out, others)
    leakage.refuse(report, config)
    encoders = _encoders(inputs["train"], store)
    tested = [pair for pair in pairs if pair.split == "test"]
    documents = [document for document in held_out if document.split == "test"]
    found = measure(encoders.base, encoders.adapted, tested, documents, config.evaluate)
    if config.leakage.embedding != "off":
        texts = [*leakage.views(held_out), *others]
        alike = list(_alike(trained, texts, encoders, config, store))
        leakage.refuse(leakage.NOTHING.plus(alike), config)  # the others were told before
        report = report.plus(alike)
    log.info("verdict: %s. %s", found.summary["verdict"], " ".join(found.summary["reasons"]))
    with store.create("evaluation") as draft:
        draft.write_rows(found.pairs, MeasuredPair)
        draft.write_json(found.summary | {"leakage": report.summary(allowed=config.allow_leakage)})
    return draft.reference


class _Kept:
    """An encoder whose vectors are kept by their texts."""

    def __init__(self, encoder: Encoder) -> None:
        self.identity = encoder.identity
        self.vectors: dict[str, Vectors] = {}
        self._encoder = encoder

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        found = self._encoder.encode(texts, label)
        self.vectors |= dict(zip(texts, found, strict=True))
        return found


class _Encoders(NamedTuple):
    """The backbone as it is, and backbone and model such that they share what they can."""

    backbone: Encoder
    base: _Kept
    adapted: Encoder


def _encoders(model: Reference, store: Store) -> _Encoders:
    """Return the backbone and the trained model as it loads from disk."""
    from pipeline.encoder import layers, transformer  # noqa: PLC0415 - torch only when needed

    place = store.path(model)
    described = transformer.read_description(place)
    backbone = transformer.load_backbone(described.encoder, store.home)
    adapted = transformer.load_model(place, store.home)
    base, shared = layers.share_lower(backbone, adapted, described.first_layer)
    return _Encoders(backbone, _Kept(base), shared)


def _alike(
    trained: Trained,
    texts: Iterable[Text],
    encoders: _Encoders,
    config: DomainConfig,
    store: Store,
) -> Iterator[Leak]:
    """Yield training texts with nearly the vector of a text that was just measured with.

    Training texts were encoded for mining, so their vectors are mostly at hand; those of other
    registered sets are encoded now.
    """
    cache = VectorCache(encoders.backbone, store.home.journal)
    extra = list(dict.fromkeys(row.text for row in registered.texts(config)))
    added = zip(extra, cache.encode(extra, label="encode registered texts"), strict=True)
    known = {**dict(added), **encoders.base.vectors}
    rows = list({row.text: row for row in texts if row.text in known}.values())
    own = list(trained.texts.values())
    if not rows or not own:
        return
    vectors = cache.encode([row.text for row in own], label="encode training texts")
    measured = np.stack([known[row.text] for row in rows])
    yield from leakage.same_vectors((own, vectors), (rows, measured), config.leakage.cosine)
