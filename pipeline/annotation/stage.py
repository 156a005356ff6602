"""The stage "label": every annotator's opinion of every pair, and of the gold dev pairs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from pipeline import gold
from pipeline.annotation.annotators import ANNOTATORS, Annotator, Setting, TextPair
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import ConfigError
from pipeline.records import Annotation, Pair


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write one annotation per pair and annotator; "gold" holds those of the gold dev pairs.

    Gold pairs are scored only so that the annotators can be held against gold. No score of a
    gold pair is used in training.
    """
    pairs = store.rows(inputs["mine"], Pair)
    dev = [pair for pair in gold.load(config) if pair.split == "dev"]
    texts = sorted({text for pair in pairs for text in (pair.sentence1, pair.sentence2)})
    setting = Setting(config.label, config.encoder, store.home, texts)
    rows: list[Annotation] = []
    measured: list[Annotation] = []
    summary: dict[str, object] = {}
    taken: dict[str, object] = {}
    for name in config.label.annotators:
        start = time.perf_counter()
        annotator = build(name, setting)
        asked = [(pair.id, (pair.sentence1, pair.sentence2)) for pair in pairs]
        part, reused = _annotations(annotator, asked)
        rows += part
        held = [(pair.id, (pair.sentence1, pair.sentence2)) for pair in dev]
        measured += _annotations(annotator, held)[0]
        scored = sum(annotation.score is not None for annotation in part)
        summary[name] = {
            "identity": annotator.identity,
            "scored": scored,
            "missing": len(part) - scored,
        }
        taken[name] = {
            "asked": len(part) - reused,
            "reused": reused,
            "seconds": time.perf_counter() - start,
        }
    with store.create("annotations") as draft:
        draft.write_rows(rows, Annotation)
        draft.write_rows(measured, Annotation, "gold")
        draft.write_json({"annotators": summary})
        draft.write_measured({"annotators": taken})
    return draft.reference


def build(name: str, setting: Setting) -> Annotator:
    """Return the annotator called ``name``.

    Raises:
        ConfigError: when there is none; names those there are.
    """
    if name not in ANNOTATORS:
        message = f"label.annotators: there is no {name!r}; there are {', '.join(ANNOTATORS)}"
        raise ConfigError(message)
    return ANNOTATORS[name](setting)


def _annotations(
    annotator: Annotator, pairs: Sequence[tuple[str, TextPair]]
) -> tuple[list[Annotation], int]:
    if not pairs:
        return [], 0
    opinions = annotator.annotate([pair for _, pair in pairs])
    annotations = []
    for (pair_id, _), score in zip(pairs, opinions.scores, strict=True):
        usable = math.isfinite(score)
        annotations.append(
            Annotation(
                pair_id=pair_id,
                annotator=annotator.name,
                score=score if usable else None,
                reason="" if usable else "not_a_number",
            )
        )
    return annotations, opinions.reused
