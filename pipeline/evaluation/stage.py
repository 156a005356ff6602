"""The evaluate stage: what it reads, which encoders it compares, and what it writes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pipeline import gold, leakage, registered
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder.cache import VectorCache
from pipeline.evaluation import retrieval, sets, strategies, strength
from pipeline.evaluation.measure import MeasuredPair, Models, measure
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.retrieval import Task
from pipeline.evaluation.sets import EvaluationSet, PairSet
from pipeline.gold import GoldPair
from pipeline.leakage import Leak, Trained
from pipeline.records import Document, LabeledPair
from pipeline.registered import Text
from pipeline.sections import EncoderSettings

if TYPE_CHECKING:
    from pipeline.encoder import Encoder, Vectors

log = logging.getLogger(__name__)

GOLD, GENERAL = "gold", "general"  # names of the sets that have no name of the user's
SWEEP_RESAMPLES: Final = 1_000


class Measuring(NamedTuple):
    """What a model is measured with: gold and general pairs of both splits, and all sets."""

    gold: list[GoldPair]
    general: list[GoldPair]
    own: list[EvaluationSet]  # those of `evaluate.sets`


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Measure the trained model against its backbone; rows are the gold test pairs.

    Raises:
        LeakageError: when evaluation text was trained on; before any model is loaded, unless it
            shows in vectors alone.
        NotEnoughText: when the test documents are too few to search in.
    """
    given = measuring(config)
    held_out = leakage.held_out(store.batches(inputs["clean"], Document))
    pairs = store.rows(inputs["curate"], LabeledPair)
    trained = Trained(pairs, config.leakage.near_duplicate)
    others = [*leakage.gold_texts(given.gold), *_texts(given, config)]
    report = leakage.check(trained, held_out, others)
    leakage.refuse(report, config)
    task = retrieval.build([one for one in held_out if one.split == "test"], config.evaluate)
    place = store.path(inputs["train"])
    with tempfile.TemporaryDirectory(prefix="angle-adapt-") as aside:
        swept = _swept(place, given, config, store)
        encoders = _encoders(_at(swept, place, Path(aside), store), config, store)
    models = Models(encoders.base, encoders.adapted, encoders.others)
    labelled = strategies.labelled(pairs, config.evaluate.strategy_pairs)
    found = measure(models, in_order(given, task), config.evaluate, labelled)
    if config.leakage.embedding != "off":
        views = [row for row in leakage.views(held_out) if row.text in encoders.base.vectors]
        texts = [*views, *others]
        alike = list(_alike(trained, texts, encoders, store, config.leakage.cosine))
        leakage.refuse(leakage.NOTHING.plus(alike), config)  # the others were told before
        report = report.plus(alike)
    log.info("verdict: %s. %s", found.summary["verdict"], " ".join(found.summary["reasons"]))
    summary = found.summary | {
        "strength": swept,
        "retrieval": {"texts": len(task.search.corpus), "queries": len(task.search.queries),
                      "distractors": task.distractors},
        "leakage": report.summary(allowed=config.allow_leakage),
    }  # fmt: skip
    summary["notes"] += task.notes
    with store.create("evaluation") as draft:
        draft.write_rows(found.pairs, MeasuredPair)
        draft.write_json(summary)
    return draft.reference


def measuring(config: DomainConfig) -> Measuring:
    """Return the sets that a domain names.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    own = [sets.load(name, one) for name, one in config.evaluate.sets.items()]
    return Measuring(gold.load(config), gold.general(config), own)


def in_order(given: Measuring, task: Task | None) -> list[EvaluationSet]:
    """Return the sets to measure with: gold first, then the domain's, then general ones."""
    domain = [one for one in given.own if one.role == "domain"]
    general = [one for one in given.own if one.role == "general"]
    named = sets.of_gold(GOLD, "domain", _of(given.gold, "test"))
    built_in = sets.of_gold(GENERAL, "general", _of(given.general, "test"))
    pairs: list[EvaluationSet] = [named] if named.pairs else []
    search: list[EvaluationSet] = [task.search] if task else []
    return [*pairs, *domain, *search, *([built_in] if built_in.pairs else []), *general]


def _of(pairs: Iterable[GoldPair], split: str) -> list[GoldPair]:
    return [pair for pair in pairs if pair.split == split]


def _texts(given: Measuring, config: DomainConfig) -> Iterator[Text]:
    """Yield the texts of other sets, those of the Hub included, which only this stage fetches."""
    yield from registered.texts(config)
    for one in given.own:
        settings = config.evaluate.sets[one.name]
        if settings.path.startswith(sets.HUB) and not settings.trained_on:
            texts = one.texts if isinstance(one, PairSet) else one.queries
            yield from (Text(text, f"the set {one.name}") for text in texts)


def _swept(place: Path, given: Measuring, config: DomainConfig, store: Store) -> dict[str, Any]:
    """Return the strengths of the adapter that were tried on dev pairs, and the chosen one."""
    settings = config.evaluate
    if not settings.strengths:
        return {}
    bootstrap = Bootstrap(SWEEP_RESAMPLES, settings.confidence, settings.seed)
    options = strength.Options(
        settings.strengths, settings.allowed_loss, strength.TOLERANCE, bootstrap
    )
    dev, general = _of(given.gold, "dev"), _of(given.general, "dev")
    return strength.sweep(place, store.home, dev, general, options).model_dump()


def _at(swept: Mapping[str, Any], place: Path, aside: Path, store: Store) -> Path:
    """Return the folder of the model at the strength that was chosen."""
    from pipeline.encoder.strength import scaled_copy  # noqa: PLC0415 - imports torch

    chosen = swept.get("chosen", strength.TRAINED)
    if chosen == strength.TRAINED:
        return place
    scaled_copy(place, chosen, aside / "model", store.home)
    return aside / "model"


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
    """The backbone as it is, backbone and model such that they share what they can, others."""

    backbone: Encoder
    base: _Kept
    adapted: Encoder
    others: dict[str, Encoder]


def _encoders(place: Path, config: DomainConfig, store: Store) -> _Encoders:
    """Return the backbone, the trained model as it loads from disk, and further models."""
    from pipeline.encoder import layers, transformer  # noqa: PLC0415 - torch only when needed

    described = transformer.read_description(place)
    backbone = transformer.load_backbone(described.encoder, store.home)
    adapted = transformer.load_model(place, store.home)
    base, shared = layers.share_lower(backbone, adapted, described.first_layer)
    others = {name: _other(name, config, store) for name in config.evaluate.against}
    return _Encoders(backbone, _Kept(base), shared, others)


def _other(name: str, config: DomainConfig, store: Store) -> Encoder:
    """Return another model: that in a folder, or a backbone as it was made to be used."""
    from pipeline.encoder import transformer  # noqa: PLC0415 - torch only when needed

    if Path(name).expanduser().is_dir():
        return transformer.load_model(Path(name).expanduser(), store.home)
    settings = EncoderSettings(backbone=name, max_length=config.encoder.max_length)
    return transformer.load_backbone(transformer.EncoderSpec.of(settings), store.home)


def _alike(
    trained: Trained, texts: Iterable[Text], encoders: _Encoders, store: Store, cosine: float
) -> Iterator[Leak]:
    """Yield training texts with nearly the vector of one of ``texts``, which measure.

    Most vectors are at hand: training texts were encoded for mining, the others just now.
    """
    cache = VectorCache(encoders.backbone, store.home.journal)
    every = {row.text: row for row in texts}
    missing = [text for text in every if text not in encoders.base.vectors]
    added = zip(missing, cache.encode(missing, label="encode registered texts"), strict=True)
    known = {**dict(added), **encoders.base.vectors}
    rows, own = list(every.values()), list(trained.texts.values())
    if not rows or not own:
        return
    vectors = cache.encode([row.text for row in own], label="encode training texts")
    measured = np.stack([known[row.text] for row in rows])
    yield from leakage.same_vectors((own, vectors), (rows, measured), cosine)
