"""The stage "label": every annotator's opinion of every pair, and of the gold dev pairs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline import gold
from pipeline.annotation import annotators, generation
from pipeline.annotation.annotators import ANNOTATORS, Setting
from pipeline.annotation.generation import Generated
from pipeline.annotation.opinions import Annotator, Opinions, Terms, TextPair
from pipeline.annotation.ordering import by_information, most_apart
from pipeline.artifacts import PARTIAL, Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import ConfigError
from pipeline.gold import GoldPair
from pipeline.journal.entries import Budget
from pipeline.records import Annotation, Pair, digest_of

log = logging.getLogger(__name__)

GOLD_FIRST: Final = 60  # gold pairs asked before all others: what calibration needs, and some more


class Asked(NamedTuple):
    """All pairs of a run, the gold ones first."""

    ids: list[str]
    pairs: list[TextPair]
    gold: int


class Heard(NamedTuple):
    """What an annotator said, and how long that took; its model is not kept."""

    name: str
    identity: str
    opinions: Opinions
    seconds: float


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write one annotation per pair and annotator; "gold" holds those of the gold dev pairs.

    Gold pairs are scored only so that the annotators can be held against gold. No score of a
    gold pair is used in training. "generated" holds the pairs with a text that a chat model wrote,
    "dropped" what else it wrote; these pairs are annotated like the others.
    """
    mined = store.rows(inputs["mine"], Pair)
    generation.check(config)
    setting = _setting(inputs, config, store)
    names = _in_order(setting)
    written = generation.generate(mined, config, setting.terms)
    pairs = [*mined, *written.pairs]
    asked = _asked(pairs, config)
    setting = setting._replace(texts=_texts(pairs))
    heard: list[Heard] = []
    for name in names:
        heard.append(_hear(annotators.build(name, setting), asked, heard))
    if config.label.referee:
        heard.append(_hear_referee(setting, asked, heard))
    found = {one.name: _annotations(one, asked) for one in heard}
    rows = [found[name] for name in (*config.label.annotators, *_referee(config))]
    partial = _partial(heard, written)
    with store.create("annotations") as draft:
        draft.write_rows([row for part in rows for row in part[asked.gold :]], Annotation)
        draft.write_rows([row for part in rows for row in part[: asked.gold]], Annotation, "gold")
        draft.write_rows(written.pairs, Pair, "generated")
        draft.write_dropped(written.dropped)
        summaries = {"annotators": _summaries(heard, asked), "generated": written.summary}
        draft.write_json({**summaries, PARTIAL: partial})
        taken = {one.name: _taken(one) for one in heard}
        draft.write_measured({"annotators": taken, "generated": written.measured})
    return draft.reference


def terms(config: DomainConfig, store: Store, mined: str) -> Terms:
    """Return within what chat models are asked; a budget is that of these pairs, however often."""
    label = config.label
    usd = None if label.budget_usd is None else round(label.budget_usd * 1e9)
    return Terms(
        journal=label.journal or str(store.home.journal / "requests.sqlite"),
        job=f"{config.domain}-{digest_of(config.domain, mined)}",
        budget=Budget(usd, label.budget_tokens, label.budget_requests),
        resend=label.on_uncertain == "resend",
    )


def _asked(pairs: Sequence[Pair], config: DomainConfig) -> Asked:
    dev = [pair for pair in gold.load(config) if pair.split == "dev"]
    everything: list[GoldPair | Pair] = [*dev, *pairs]
    return Asked(
        [pair.id for pair in everything],
        [(pair.sentence1, pair.sentence2) for pair in everything],
        len(dev),
    )


def _texts(pairs: Sequence[Pair]) -> list[str]:
    return sorted({text for pair in pairs for text in (pair.sentence1, pair.sentence2)})


def _setting(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Setting:
    """Return what annotators are built from; the texts of the pairs are not known yet."""
    return Setting(
        label=config.label,
        encoder=config.encoder,
        home=store.home,
        texts=[],
        chat=config.chat,
        terms=terms(config, store, inputs["mine"].digest),
    )


def _in_order(setting: Setting) -> list[str]:
    """Return the annotators to ask, free ones first: what they say decides what others are asked.

    Raises:
        ConfigError: when one cannot be asked as configured, before any is.
    """
    names = setting.label.annotators
    paid = [name for name in names if name not in ANNOTATORS]
    referee = setting.label.referee
    if referee in names:
        message = f"label.referee: {referee} is among label.annotators, and asked about every pair"
        raise ConfigError(message)
    for name in (*paid, *([referee] if referee and referee not in ANNOTATORS else [])):
        annotators.build(name, setting)
    return [name for name in names if name in ANNOTATORS] + paid


def _hear(annotator: Annotator, asked: Asked, before: Sequence[Heard]) -> Heard:
    """Return what ``annotator`` says of all pairs, asked about the most informative first."""
    start = time.perf_counter()
    free = [
        scores
        for scores in (one.opinions.scores for one in before)
        if all(map(math.isfinite, scores))
    ]
    order = by_information(free, len(asked.pairs), min(GOLD_FIRST, asked.gold))
    said = _ask(annotator, asked, order)
    return Heard(annotator.name, annotator.identity, said, time.perf_counter() - start)


def _hear_referee(setting: Setting, asked: Asked, before: Sequence[Heard]) -> Heard:
    """Return what the referee says of the pairs that the others disagree most about."""
    start = time.perf_counter()
    label = setting.label
    scores = [one.opinions.scores for one in before]
    first = min(GOLD_FIRST, asked.gold)
    order = most_apart(scores, first, label.referee_share) if asked.pairs else []
    referee = annotators.build(label.referee, setting)
    said = _ask(referee, asked, order)
    return Heard(referee.name, referee.identity, said, time.perf_counter() - start)


def _ask(annotator: Annotator, asked: Asked, order: Sequence[int]) -> Opinions:
    """Return the opinions of all pairs, asked for in ``order``; others have "not_asked"."""
    count = len(asked.pairs)
    said = annotator.annotate([asked.pairs[index] for index in order]) if order else Opinions([], 0)
    scores, reasons = [math.nan] * count, ["not_asked"] * count
    confidences: list[float | None] = [None] * count
    for number, index in enumerate(order):
        scores[index] = said.scores[number]
        reasons[index] = said.reasons[number] if said.reasons else ""
        confidences[index] = said.confidences[number] if said.confidences else None
    return said._replace(scores=scores, reasons=reasons, confidences=confidences)


def _referee(config: DomainConfig) -> list[str]:
    return [config.label.referee] if config.label.referee else []


def _partial(heard: Sequence[Heard], written: Generated) -> str:
    """Return what is missing that running again may bring, in words."""
    missing = {"writing": written.partial} | {one.name: one.opinions.partial for one in heard}
    partial = "; ".join(f"{name}: {what}" for name, what in missing.items() if what)
    if partial:
        log.warning("labels are missing (%s); run again to ask for them", partial)
    return partial


def _annotations(heard: Heard, asked: Asked) -> list[Annotation]:
    opinions = heard.opinions
    rows = []
    for number, (pair_id, score) in enumerate(zip(asked.ids, opinions.scores, strict=True)):
        usable = math.isfinite(score)
        reason = (opinions.reasons[number] if opinions.reasons else "") or "not_a_number"
        rows.append(
            Annotation(
                pair_id=pair_id,
                annotator=heard.name,
                score=score if usable else None,
                reason="" if usable else reason,
                confidence=opinions.confidences[number] if opinions.confidences else None,
            )
        )
    return rows


def _summaries(heard: Sequence[Heard], asked: Asked) -> dict[str, Any]:
    found = {}
    for one in heard:
        scored = sum(math.isfinite(score) for score in one.opinions.scores[asked.gold :])
        found[one.name] = {
            "identity": one.identity,
            "scored": scored,
            "missing": len(asked.ids) - asked.gold - scored,
            **one.opinions.summary,
        }
    return found


def _taken(heard: Heard) -> dict[str, Any]:
    opinions = heard.opinions
    return {
        "asked": sum(reason != "not_asked" for reason in opinions.reasons) - opinions.reused,
        "reused": opinions.reused,
        "seconds": heard.seconds,
        **opinions.measured,
    }
