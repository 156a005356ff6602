"""The stage "score" of a trial: the cosines that backbone and model give gold and general pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder, Vectors, cosine
from pipeline.encoder.cache import VectorCache
from pipeline.errors import InputError
from pipeline.evaluation.metrics import spearman
from pipeline.gold import GoldPair
from pipeline.records import Record

FEWEST: Final = 10
GENERAL: Final = "general"  # in place of a split: text of no domain, which is not to be forgotten


class ScoredPair(Record):
    """A gold pair with the cosines that backbone and model give it."""

    id: str
    split: Literal["dev", "test", "general"]
    gold: float
    base: float
    adapted: float


def check(config: DomainConfig) -> dict[str, int]:
    """Return the number of gold pairs by split.

    Raises:
        InputError: when the domain has no gold set, or too few or constant pairs in a split.
    """
    if not config.evaluate.gold:
        message = (
            f"the domain {config.domain} has no gold set, and trials cannot be compared without: "
            "name a CSV of sentence1, sentence2, score, split in evaluate.gold"
        )
        raise InputError(message)
    pairs = gold.load(config)
    found = {split: [pair.score for pair in pairs if pair.split == split]
             for split in ("dev", "test")}  # fmt: skip
    uses = {"dev": "choose by", "test": "report on"}
    for split, scores in found.items():
        if len(scores) < FEWEST or len(set(scores)) < 2:
            what = "one score alone" if len(scores) >= FEWEST else f"{FEWEST} are needed"
            message = (
                f"{config.evaluate.gold}: {len(scores)} {split} pairs to {uses[split]}, {what}; "
                f"add pairs with {split} in the column split"
            )
            raise InputError(message)
    return {split: len(scores) for split, scores in found.items()}


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Encode gold and general pairs with the model and with its backbone; rows are pairs."""
    from pipeline.encoder import transformer  # noqa: PLC0415 - torch only when needed

    place = store.path(inputs["train"])
    described = transformer.read_description(place)
    backbone = VectorCache(
        transformer.load_backbone(described.encoder, store.home), store.home.journal
    )
    adapted = transformer.load_model(place, store.home)
    own, general = gold.load(config), gold.general(config)
    scored = score([*own, *general], backbone, adapted)
    scored[len(own) :] = [pair.model_copy(update={"split": GENERAL}) for pair in scored[len(own) :]]
    with store.create("scores") as draft:
        draft.write_rows(scored, ScoredPair)
        draft.write_json(summary(scored))
    return draft.reference


def score(pairs: Sequence[GoldPair], base: Encoder, adapted: Encoder) -> list[ScoredPair]:
    """Return gold pairs with their cosines, in their order."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.sentence1, pair.sentence2)))
    row = {text: index for index, text in enumerate(texts)}
    left, right = ([row[getattr(pair, name)] for pair in pairs]
                   for name in ("sentence1", "sentence2"))  # fmt: skip

    def cosines(vectors: Vectors) -> list[float]:
        return [float(value) for value in cosine(vectors[left], vectors[right])]

    found = zip(
        pairs,
        cosines(base.encode(texts, label="gold with base")),
        cosines(adapted.encode(texts, label="gold with adapted")),
        strict=True,
    )
    return [
        ScoredPair(id=pair.id, split=pair.split, gold=pair.score, base=before, adapted=after)
        for pair, before, after in found
    ]


def summary(scored: Sequence[ScoredPair]) -> dict[str, Any]:
    """Return ρ of backbone and model by split."""
    found: dict[str, Any] = {}
    for split in dict.fromkeys(pair.split for pair in scored):
        rows = np.array([(p.gold, p.base, p.adapted) for p in scored if p.split == split])
        gold_scores, base, adapted = rows.T
        found[split] = {
            "pairs": len(rows),
            "base": spearman(gold_scores, base),
            "adapted": spearman(gold_scores, adapted),
        }
    return found
