"""The stage "curate": from opinions to an immutable labelled dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from pipeline import gold, leakage
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.curation.calibration import Opinion
from pipeline.curation.combine import Scores
from pipeline.curation.disagreement import Disagreement, disagreements
from pipeline.curation.labels import Panel, combined, findings, heard, opinions_needed, panel
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
from pipeline.registered import Text
from pipeline.sections import CurateSettings
from pipeline.sentences import sentences

BINS: Final = 20
# Why an annotator has no opinion of a pair that is not its fault.
ASKED_OF_SOME: Final = frozenset({"not_asked", "not_reviewed"})

Opinions = dict[str, dict[str, float]]  # annotator -> pair id -> score


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the labelled pairs; beside them what was dropped, and where annotators disagree.

    Dropped are pairs with too few opinions, pairs near evaluation text and, where the settings say
    so, pairs that the annotators disagree about.
    """
    gold_pairs, annotations = gold.load(config), store.rows(inputs["label"], Annotation)
    opinions = by_annotator(annotations)
    measured = by_annotator(store.rows(inputs["label"], Annotation, "gold"))
    check(config.curate, opinions)
    settings = needing(config.curate, opinions, annotations)
    usable, dropped = _screened(inputs, opinions, settings, config, store)
    _refuse_nothing(usable, dropped)
    voices = hear(usable, opinions, gold_pairs, measured, settings)
    apart = listed(usable, voices, settings)
    if settings.drop_disagreeing:
        usable, voices, left = without(usable, voices, {row.pair_id for row in apart})
        dropped += left
        _refuse_nothing(usable, dropped)
    labels = combined(voices, settings)
    labeled = [
        LabeledPair(**pair.model_dump(), score=float(score), split="train")
        for pair, score in zip(usable, labels.pairs, strict=True)
    ]
    with store.create("dataset") as draft:
        draft.write_rows(labeled, LabeledPair)
        draft.write_dropped(dropped)
        draft.write_rows(apart, Disagreement, "disagreements")
        listed_pairs = len({row.pair_id for row in apart})
        draft.write_json(
            _counts(labeled, dropped)
            | findings(voices, labels, settings)
            | {"disagreements": {"above": settings.disagreement, "pairs": listed_pairs}}
        )
    return draft.reference


def check(settings: CurateSettings, opinions: Opinions) -> None:
    """Refuse settings that do not fit the annotators that were asked.

    Raises:
        ConfigError: for weights of others or that leave nobody, and more opinions than there are.
    """
    unknown = sorted(set(settings.weights) - set(opinions))
    names, voices = ", ".join(opinions), heard(settings, opinions)
    if unknown or not voices:
        found = f"unknown {', '.join(unknown)}" if unknown else "every weight is 0"
        message = f"curate.weights: {found}; the annotators are {names}"
        raise ConfigError(message)
    if settings.min_opinions > len(voices):
        message = f"curate.min_opinions: {settings.min_opinions} is more than the annotators"
        raise ConfigError(f"{message} that have a say ({', '.join(voices)}); ask for fewer")


def by_annotator(annotations: Iterable[Annotation]) -> Opinions:
    """Return the scores there are, by annotator and pair."""
    opinions: Opinions = {}
    for annotation in annotations:
        scores = opinions.setdefault(annotation.annotator, {})
        if annotation.score is not None:
            scores[annotation.pair_id] = annotation.score
    return opinions


def needing(
    settings: CurateSettings, opinions: Opinions, annotations: Iterable[Annotation]
) -> CurateSettings:
    """Return the settings with the number of opinions that a pair needs.

    Who is asked about some pairs only (a referee, people) is not needed for any, unless the
    settings name a number.
    """
    some = {row.annotator for row in annotations if row.reason in ASKED_OF_SOME}
    always = [name for name in heard(settings, opinions) if name not in some]
    if settings.min_opinions or not some:
        return settings
    return settings.model_copy(update={"min_opinions": max(1, len(always))})


def _screened(
    inputs: Mapping[str, Reference],
    opinions: Opinions,
    settings: CurateSettings,
    config: DomainConfig,
    store: Store,
) -> tuple[list[Pair], list[Dropped]]:
    """Return the pairs, mined and written, that may be trained on, and why each other may not."""
    documents = store.rows(inputs["clean"], Document)
    splits = {document.id: document.split for document in documents}
    written = store.rows(inputs["label"], Pair, "generated")
    pairs = [*store.rows(inputs["mine"], Pair), *written]
    usable, dropped = screen(pairs, opinions, splits, gold.load(config), settings)
    others = store.json(inputs["label"]).get("generated", {}).get("independent", ())
    judges = [opinions[name] for name in heard(settings, opinions) if name in others]
    usable, refused = screen_written(usable, {pair.id for pair in written}, judges, documents)
    held_out = [document for document in documents if document.split != "train"]
    measured = chain(leakage.views(held_out), leakage.gold_texts(gold.load(config)))
    usable, leaking = without_leaks(usable, measured, config.leakage.near_duplicate)
    return usable, dropped + refused + leaking


def without_leaks(
    pairs: Sequence[Pair], measured: Iterable[Text], near_duplicate: float
) -> tuple[list[Pair], list[Dropped]]:
    """Return ``pairs`` without those of which a text is, or nearly is, one of ``measured``.

    Documents that differ may still share a sentence.
    """
    trained = leakage.Trained(pairs, near_duplicate)
    found = {text_id(leak.trained): leak for leak in trained.same_texts(measured)}
    usable: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        leak = found.get(text_id(pair.sentence1)) or found.get(text_id(pair.sentence2))
        if leak is None:
            usable.append(pair)
        else:
            where = f"as {leak.measured_in}"
            dropped.append(
                Dropped(record_id=pair.id, stage="curate", reason="held_out_text", detail=where)
            )
    return usable, dropped


def screen(
    pairs: Sequence[Pair],
    opinions: Opinions,
    splits: Mapping[str, str],
    gold_pairs: Sequence[GoldPair],
    settings: CurateSettings,
) -> tuple[list[Pair], list[Dropped]]:
    """Return the pairs that may be trained on, and why each other may not."""
    texts = {text_id(text) for pair in gold_pairs for text in (pair.sentence1, pair.sentence2)}
    voices = [opinions[name] for name in heard(settings, opinions)]
    needed = opinions_needed(settings, opinions)
    usable: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        reason = ""
        if any(splits.get(document) != "train" for document in (pair.document1, pair.document2)):
            reason = "held_out_document"
        elif {text_id(pair.sentence1), text_id(pair.sentence2)} & texts:
            reason = "gold_text"
        elif sum(pair.id in scores for scores in voices) < needed:
            reason = "no_score"
        if reason:
            dropped.append(Dropped(record_id=pair.id, stage="curate", reason=reason))
        else:
            usable.append(pair)
    return usable, dropped


def screen_written(
    pairs: Sequence[Pair],
    written: set[str],
    judges: Sequence[Mapping[str, float]],
    documents: Iterable[Document],
) -> tuple[list[Pair], list[Dropped]]:
    """Return ``pairs`` without those ``written`` ones that may not be trained on, and those.

    A model that writes may know held-out text by heart, and must not be the only one that judges
    what it wrote: ``judges`` are the scores of the other annotators that have a say.
    """
    held_out = {
        text_id(text)
        for document in documents
        if written and document.split != "train"
        for text in (document.text, *sentences(document.text))
    }
    usable: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        reason = ""
        if pair.id in written and text_id(pair.sentence2) in held_out:
            reason = "held_out_text"
        elif pair.id in written and not any(pair.id in scores for scores in judges):
            reason = "no_independent_score"
        if reason:
            dropped.append(Dropped(record_id=pair.id, stage="curate", reason=reason))
        else:
            usable.append(pair)
    return usable, dropped


def hear(
    pairs: Sequence[Pair],
    opinions: Opinions,
    gold_pairs: Sequence[GoldPair],
    measured: Opinions,
    settings: CurateSettings,
) -> Panel:
    """Return what every annotator says of the pairs and of the gold dev pairs, calibrated."""
    dev = [pair for pair in gold_pairs if pair.split == "dev"]
    own = {
        name: Opinion(_column(scores, pairs), _column(measured.get(name, {}), dev))
        for name, scores in opinions.items()
    }
    return panel(own, np.array([pair.score for pair in dev]), settings)


def listed(pairs: Sequence[Pair], voices: Panel, settings: CurateSettings) -> list[Disagreement]:
    """Return the pairs about which the annotators that have a say disagree."""
    columns = {name: voices.scaled[name].pairs for name in heard(settings, voices.scaled)}
    return disagreements(pairs, columns, settings.disagreement)


def without(
    pairs: Sequence[Pair], voices: Panel, apart: set[str]
) -> tuple[list[Pair], Panel, list[Dropped]]:
    """Return pairs and voices without the pairs ``apart``, and those as dropped."""
    kept = np.array([pair.id not in apart for pair in pairs])
    left = [
        Dropped(record_id=pair.id, stage="curate", reason="annotators_disagree")
        for pair in pairs
        if pair.id in apart
    ]
    return [pair for pair in pairs if pair.id not in apart], voices.only(kept), left


def _refuse_nothing(usable: Sequence[Pair], dropped: Sequence[Dropped]) -> None:
    if not usable:
        message = f"none of the {len(dropped)} pairs can be trained on: {count_reasons(dropped)}"
        raise NotEnoughText(message)


def _column(scores: Mapping[str, float], pairs: Sequence[Pair | GoldPair]) -> Scores:
    return np.array([scores.get(pair.id, np.nan) for pair in pairs], dtype=np.float64)


def _counts(labeled: Sequence[LabeledPair], dropped: Sequence[Dropped]) -> dict[str, Any]:
    by_strategy: dict[str, list[float]] = {}
    for pair in labeled:
        by_strategy.setdefault(pair.strategy, []).append(pair.score)
    return {
        "in": len(labeled) + len(dropped),
        "kept": len(labeled),
        "dropped": count_reasons(dropped),
        "histogram": np.histogram([pair.score for pair in labeled], BINS, (0, 1))[0].tolist(),
        "by_strategy": {
            name: {"pairs": len(scores), "mean": float(np.mean(scores))}
            for name, scores in by_strategy.items()
        },
    }
