"""The second round: pairs about which the labels so far and the adapted encoder disagree most.

What annotators would say of a pair is not known before they are asked, so it is read off the labels
of the first round: isotonic regression on the likeness of the two texts. What the adapted encoder
says is its cosine, on the scale of the labels: of the first round's pairs, a cosine of some rank
counts as the label of that rank. The pairs furthest apart come first, evenly over the labels that
annotators are expected to give; none that was asked about before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder, cosine
from pipeline.encoder.cache import VectorCache
from pipeline.mining import texts as mining_texts
from pipeline.mining.likeness import Scale, Values
from pipeline.mining.pool import Pool, distinct, gather, lots
from pipeline.mining.sampler import Sample, take
from pipeline.mining.stage import Mined, barred, choose, described, write
from pipeline.mining.strategies import STRATEGIES
from pipeline.mining.texts import Texts, Unwanted, nothing
from pipeline.records import Document, LabeledPair, Pair, normalised
from pipeline.sections import MineSettings

Scores = NDArray[np.float64]


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the pairs of the first round and, after them, those of the second."""
    from pipeline.encoder import transformer  # noqa: PLC0415 - torch

    corpus = store.rows(inputs["clean"], Document)
    train = [document for document in corpus if document.split == "train"]
    before = store.rows(inputs["mine"], Pair)
    labelled = store.rows(inputs["curate"], LabeledPair)
    journal = store.home.journal
    spec = transformer.EncoderSpec.of(config.encoder)
    base = VectorCache(transformer.load_backbone(spec, store.home), journal)
    model = transformer.load_model(store.path(inputs["train"]), store.home)
    encoders = base, VectorCache(model, journal)
    settings = config.mine.model_copy(update={"pairs": config.mine.pairs - len(before)})
    unwanted = barred(corpus, config)
    found = mine_again(train, settings, encoders, (before, labelled), unwanted)
    return write(found._replace(pairs=[*before, *found.pairs]), store)


def mine_again(
    documents: Sequence[Document],
    settings: MineSettings,
    encoders: tuple[Encoder, Encoder],
    so_far: tuple[Sequence[Pair], Sequence[LabeledPair]],
    unwanted: Unwanted = nothing,
) -> Mined:
    """Return at most ``settings.pairs`` new pairs; ``encoders`` are the base and the adapted one.

    ``so_far`` are the pairs that were asked about, and those of them with a label; no new pair has
    a text whose id ``unwanted`` returns.
    """
    before, labelled = so_far
    shares = settings.shares if settings.sampler == "even" else {}
    settings = settings.model_copy(update={"sampler": "even", "shares": shares})
    chosen = choose(documents, settings)
    base, adapted = (mining_texts.of(chosen, settings, one, unwanted) for one in encoders)
    dropped: Counter[str] = Counter()
    names = [name for name in STRATEGIES if adapted.settings.shares.get(name)]
    pool = gather(adapted, names, dropped)
    proposed = pool.by_strategy()
    pool = _unasked(distinct(pool, dropped), before, dropped)
    sample = _apart(base, adapted, pool, labelled, dropped)
    return described(sample._replace(proposed=proposed), chosen)


def _apart(
    base: Texts,
    adapted: Texts,
    pool: Pool,
    labelled: Sequence[LabeledPair],
    dropped: Counter[str],
) -> Sample:
    """Take the candidates about which label model and adapted encoder disagree most."""
    scale = Scale(base)
    sides = [[pair.sentence1 for pair in labelled], [pair.sentence2 for pair in labelled]]
    places = np.arange(2 * len(labelled), dtype=np.int32).reshape(2, -1)
    known = scale.of([*sides[0], *sides[1]], *places)
    likeness = scale.of(pool.texts, pool.first, pool.second)
    labels = np.array([pair.score for pair in labelled])
    said = label_model(known.expected, labels, likeness.expected)
    encoder = adapted.encoder
    held = cosine(*(encoder.encode(side, "encode pairs") for side in sides))
    vectors = encoder.encode(pool.texts, "encode candidates")
    shown = on_label_scale(cosine(vectors[pool.first], vectors[pool.second]), held, labels)
    order = by_disagreement(said, shown, lots(pool, adapted.settings.seed))
    expected = likeness._replace(expected=said.astype(np.float32))
    return take(adapted, pool, expected, order, dropped)


def label_model(known: Values, labels: Scores, asked: Values) -> Scores:
    """Return the label that pairs as alike as ``asked`` have, from those ``known`` to be so alike.

    Isotonic regression: the more alike two texts look, the higher their label is taken to be.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - slow to import

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    found: Scores = model.fit(known, labels).predict(asked).astype(np.float64)
    return found


def on_label_scale(cosines: Scores, known: Scores, labels: Scores) -> Scores:
    """Return cosines as labels: the label whose rank among ``labels`` is the cosine's in ``known``.

    Between two known cosines it is read off the line; beyond them it is the lowest or highest.
    """
    found: Scores = np.interp(cosines, np.sort(known), np.sort(labels))
    return found


def by_disagreement(said: Scores, shown: Scores, order: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the rank of each pair, 0 where the two are furthest apart; ties by ``order``."""
    ranks = np.empty(len(said), np.uint64)
    ranks[np.lexsort((order, -np.abs(said - shown)))] = np.arange(len(said), dtype=np.uint64)
    return ranks


def _unasked(pool: Pool, before: Sequence[Pair], dropped: Counter[str]) -> Pool:
    """Return the candidates that were not asked about in the first round."""
    meaning = {normalised(t): int(m) for t, m in zip(pool.texts, pool.meaning, strict=True)}
    asked = set()
    for pair in before:
        one, other = (meaning.get(normalised(t), -1) for t in (pair.sentence1, pair.sentence2))
        asked.add((min(one, other), max(one, other)))
    both = np.sort(np.stack([pool.meaning[pool.first], pool.meaning[pool.second]]), axis=0)
    new = np.array([pair not in asked for pair in zip(*both.tolist(), strict=True)], bool)
    dropped["asked_before"] += int((~new).sum())
    return pool.only(new)
