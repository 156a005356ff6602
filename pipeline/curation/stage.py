"""The stage "curate": from opinions to an immutable labelled dataset."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from pipeline import gold
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.curation.combine import Scores, agreement, blend
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.gold import GoldPair
from pipeline.records import (
    Annotation,
    Document,
    Dropped,
    LabeledPair,
    Pair,
    count_reasons,
    text_id,
)
from pipeline.sections import CurateSettings

BINS: Final = 20


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the labelled pairs; those without a label, or near evaluation text, are dropped."""
    pairs = store.rows(inputs["mine"], Pair)
    splits = {document.id: document.split for document in store.rows(inputs["clean"], Document)}
    gold_pairs = gold.load(config)
    opinions = by_annotator(store.rows(inputs["label"], Annotation))
    check_weights(config.curate, opinions)
    usable, dropped = screen(pairs, opinions, splits, gold_pairs)
    if not usable:
        message = f"none of the {len(pairs)} pairs can be trained on: {count_reasons(dropped)}"
        raise NotEnoughText(message)
    labeled = label(usable, opinions, config.curate)
    dev = {pair.id: pair.score for pair in gold_pairs if pair.split == "dev"}
    measured = by_annotator(store.rows(inputs["label"], Annotation, "gold"))
    with store.create("dataset") as draft:
        draft.write_rows(labeled, LabeledPair)
        draft.write_dropped(dropped)
        draft.write_json(
            {
                "in": len(pairs),
                "kept": len(labeled),
                "dropped": count_reasons(dropped),
                "histogram": np.histogram([p.score for p in labeled], BINS, (0, 1))[0].tolist(),
                "by_strategy": _by_strategy(labeled),
                "agreement": agreements(measured, dev, config.curate),
                "between": between(opinions, usable),
            }
        )
    return draft.reference


def check_weights(settings: CurateSettings, opinions: Opinions) -> None:
    """Refuse weights of annotators that were not asked, and weights that leave nobody.

    Raises:
        ConfigError: names the annotators that were asked.
    """
    unknown = sorted(set(settings.weights) - set(opinions))
    if unknown or not sum(settings.weights.get(name, 1.0) for name in opinions):
        found = f"unknown {', '.join(unknown)}" if unknown else "every weight is 0"
        message = f"curate.weights: {found}; the annotators are {', '.join(opinions)}"
        raise ConfigError(message)


Opinions = dict[str, dict[str, float]]  # annotator -> pair id -> score


def by_annotator(annotations: Iterable[Annotation]) -> Opinions:
    """Return the scores there are, by annotator and pair."""
    opinions: Opinions = {}
    for annotation in annotations:
        scores = opinions.setdefault(annotation.annotator, {})
        if annotation.score is not None:
            scores[annotation.pair_id] = annotation.score
    return opinions


def screen(
    pairs: Sequence[Pair],
    opinions: Opinions,
    splits: Mapping[str, str],
    gold_pairs: Sequence[GoldPair],
) -> tuple[list[Pair], list[Dropped]]:
    """Return the pairs that may be trained on, and why each other may not."""
    texts = {text_id(text) for pair in gold_pairs for text in (pair.sentence1, pair.sentence2)}
    usable: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        reason = ""
        if any(splits.get(document) != "train" for document in (pair.document1, pair.document2)):
            reason = "held_out_document"
        elif {text_id(pair.sentence1), text_id(pair.sentence2)} & texts:
            reason = "gold_text"
        elif any(pair.id not in scores for scores in opinions.values()):
            reason = "no_score"
        if reason:
            dropped.append(Dropped(record_id=pair.id, stage="curate", reason=reason))
        else:
            usable.append(pair)
    return usable, dropped


def label(pairs: Sequence[Pair], opinions: Opinions, settings: CurateSettings) -> list[LabeledPair]:
    """Return the pairs with the blend of the annotators' ranks as score."""
    scores = blend(_columns(opinions, [pair.id for pair in pairs]), settings.weights)
    return [
        LabeledPair(**pair.model_dump(), score=float(score), split="train")
        for pair, score in zip(pairs, scores, strict=True)
    ]


def agreements(
    measured: Opinions, gold_scores: Mapping[str, float], settings: CurateSettings
) -> dict[str, dict[str, float]]:
    """Return each annotator's and the blend's agreement with the gold dev pairs."""
    ids = [key for key in gold_scores if all(key in scores for scores in measured.values())]
    if not ids or not measured:
        return {}
    columns = _columns(measured, ids)
    columns["blend"] = blend(columns, settings.weights)
    wanted = [gold_scores[key] for key in ids]
    found = {name: agreement(column, wanted) for name, column in columns.items()}
    return {name: result._asdict() for name, result in found.items() if result}


def between(opinions: Opinions, pairs: Sequence[Pair]) -> list[dict[str, object]]:
    """Return how far each two annotators agree on the pairs."""
    columns = _columns(opinions, [pair.id for pair in pairs])
    rows: list[dict[str, object]] = []
    for first, second in itertools.combinations(sorted(columns), 2):
        if result := agreement(columns[first], columns[second]):
            rows.append({"a": first, "b": second, "spearman": result.spearman})
    return rows


def _columns(opinions: Opinions, ids: Sequence[str]) -> dict[str, Scores]:
    return {name: np.array([scores[key] for key in ids]) for name, scores in opinions.items()}


def _by_strategy(labeled: Sequence[LabeledPair]) -> dict[str, dict[str, float]]:
    found: dict[str, list[float]] = {}
    for pair in labeled:
        found.setdefault(pair.strategy, []).append(pair.score)
    return {
        name: {"pairs": len(scores), "mean": float(np.mean(scores))}
        for name, scores in found.items()
    }
