"""Pairs of a mined text and a variant of it that a chat model writes, as in the AnglE paper.

The paper (Li & Li 2023, arXiv 2309.12871) labels what a model wrote as it was told to write it:
same meaning is 1, opposite meaning 0. A text of the opposite meaning is not a dissimilar one, and a
model told to write a variant of grade 3 does not always write one. So here what was asked for is
only the name of the pair's strategy, and the label comes from annotators that score the pair like
any other, at least one of them another model than the writer's.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline import gold, prompts
from pipeline.annotation.opinions import Terms
from pipeline.annotation.questions import Topic
from pipeline.annotation.scoring import Written
from pipeline.annotation.variants import STRATEGY, Variant, refusal
from pipeline.chat.prices import dollars
from pipeline.config import DomainConfig
from pipeline.errors import ConfigError
from pipeline.journal.requests import ANSWERED
from pipeline.records import Dropped, Pair, count_reasons, digest_of, pair_id, text_id
from pipeline.sections import ChatSettings, GenerateSettings

if TYPE_CHECKING:
    from pipeline.annotation.inquiry import Found
    from pipeline.chat.engine import Result

log = logging.getLogger(__name__)

# What is asked about each text, by the output of the prompt; the name becomes part of the strategy.
PARTS: Final[dict[str, dict[str, dict[str, str]]]] = {
    "sentences": {
        "same": {"relation": "same-meaning"},
        "opposite": {"relation": "opposite-meaning"},
    },
    "graded_sentences": {"level": {}},
    "queries": {"query": {}},
}


class Source(NamedTuple):
    """A mined text, and the document it was taken from."""

    text: str
    document: str
    name: str


class Generated(NamedTuple):
    """Pairs to be scored, and why there are no more of them.

    ``summary`` goes into the artefact, ``measured`` (cost, time) beside it; both are empty where
    nobody writes. ``partial`` says in words what is missing that asking again may bring.
    """

    pairs: Sequence[Pair] = ()
    dropped: Sequence[Dropped] = ()
    summary: Mapping[str, Any] = {}
    measured: Mapping[str, Any] = {}
    partial: str = ""


def check(config: DomainConfig) -> None:
    """Refuse settings by which nothing can be written, or nobody else would judge what was.

    Raises:
        ConfigError: names the setting and what it may be.
    """
    settings = config.label.generate
    if not settings.annotator:
        return
    if settings.annotator not in config.chat:
        there = ", ".join(config.chat) or "none"
        message = f"label.generate.annotator: {settings.annotator!r} is not under `chat` ({there})"
        raise ConfigError(message)
    if prompts.load(settings.prompt).output not in PARTS:
        outputs = ", ".join(PARTS)
        message = f"label.generate.prompt: {settings.prompt} does not ask for texts; its output"
        raise ConfigError(f"{message} must be one of {outputs}")
    if not independent(config):
        model, names = writer(config).model, ", ".join(config.label.annotators)
        message = (
            f"label.generate.annotator ({settings.annotator}) writes with {model!r}, and no other "
            f"model is among label.annotators ({names}): add one, an embedded one such as "
            "likelihood, or have another model write"
        )
        raise ConfigError(message)


def independent(config: DomainConfig) -> list[str]:
    """Return the annotators that are not the model that writes."""
    model = writer(config).model
    return [
        name
        for name in config.label.annotators
        if name not in config.chat or config.chat[name].model != model
    ]


def writer(config: DomainConfig) -> ChatSettings:
    """Return the settings with which the writer is asked."""
    settings = config.label.generate
    return config.chat[settings.annotator].model_copy(update={"prompt": settings.prompt})


def generate(pairs: Sequence[Pair], config: DomainConfig, terms: Terms) -> Generated:
    """Return pairs of texts of ``pairs`` and variants written of them, within the budget.

    What was written is never asked for again. Every variant, and every question that was not
    answered, ends as a pair or as dropped with a reason.

    Raises:
        EndpointError: when the endpoint cannot be used; what it answered is kept.
        ConfigError: when its price is not known and there is a budget in dollars.
    """
    settings = config.label.generate
    if not settings.annotator:
        return Generated()
    start = time.perf_counter()
    held_out = {
        text_id(text) for pair in gold.load(config) for text in (pair.sentence1, pair.sentence2)
    }
    asked = {
        topic: source
        for source in sources(pairs, settings.texts, held_out)
        for topic in topics(source, settings)
    }
    found = _asked(list(asked), config, terms)
    kept, dropped = sift(asked, found.results, pairs, settings)
    summary = _summary(kept, dropped, config) | {"texts": len(set(asked.values()))}
    log.info("%d of %d variants are worth scoring", len(kept), summary["in"])
    measured = _measured(found, len(asked)) | {"seconds": time.perf_counter() - start}
    return Generated(kept, dropped, summary, measured, _partial(found.results))


def sources(pairs: Sequence[Pair], wanted: int, without: set[str]) -> list[Source]:
    """Return ``wanted`` texts of the pairs, none with an id in ``without``.

    One text is taken from every document before a second one from any, in the order of digests: a
    few more documents change few of the texts.
    """
    found: dict[str, Source] = {}
    for pair in pairs:
        for source in (
            Source(pair.sentence1, pair.document1, pair.name1),
            Source(pair.sentence2, pair.document2, pair.name2),
        ):
            found.setdefault(text_id(source.text), source)
    order = sorted(found.keys() - without, key=lambda key: digest_of("generate", key))
    before: Counter[str] = Counter()
    rank: dict[str, int] = {}
    for key in order:
        rank[key] = before[found[key].document]
        before[found[key].document] += 1
    return [found[key] for key in sorted(order, key=rank.__getitem__)][:wanted]


def topics(source: Source, settings: GenerateSettings) -> Iterator[Topic]:
    """Yield what the writer is asked about a text, once where the prompt names no relation."""
    prompt = prompts.load(settings.prompt)
    sized = "size" in prompts.KINDS[prompt.output].may_use
    parts = list(PARTS[prompt.output].items())
    for part, given in parts if "relation" in prompt.template else parts[:1]:
        values: dict[str, str | int] = {"text": source.text, **given}
        if sized:
            values["size"] = settings.size
        name = f"{part} {settings.size}" if sized else part
        yield Topic(text_id(source.text), name, tuple(values.items()))


def sift(
    asked: Mapping[Topic, Source],
    results: Sequence[Result],
    mined: Sequence[Pair],
    settings: GenerateSettings,
) -> tuple[list[Pair], list[Dropped]]:
    """Return the pairs worth scoring, and what else came of each question, with the reason.

    ``results`` are in the order of ``asked``. The record id of a drop is that of the pair, or that
    of the text where there was no answer; its detail begins with what was asked for.
    """
    known = {pair.id for pair in mined}
    kept: list[Pair] = []
    dropped: list[Dropped] = []
    for (topic, source), result in zip(asked.items(), results, strict=True):
        part = topic.part.split()[0]
        if result.state != "accepted":
            reason = result.verdict.reason or result.state
            dropped.append(_drop(topic.subject, reason, STRATEGY.format(part)))
            continue
        for number, (strategy, text) in enumerate(_named(result.verdict.value, part, settings)):
            pair = _pair(source, text, strategy)
            surplus = strategy == STRATEGY.format(part) and number >= settings.size
            reason, detail = ("more_than_asked", "") if surplus else _refusal(pair, known, settings)
            if reason:
                dropped.append(_drop(pair.id, reason, f"{strategy} {detail}".strip()))
            else:
                kept.append(pair)
                known.add(pair.id)
    return kept, dropped


def _refusal(pair: Pair, known: set[str], settings: GenerateSettings) -> tuple[str, str]:
    found = refusal(Variant(pair.sentence2, pair.sentence1, pair.strategy), settings)
    return ("duplicate", "") if not found[0] and pair.id in known else found


def _named(written: Written, part: str, settings: GenerateSettings) -> Iterator[tuple[str, str]]:
    """Yield strategy and text of everything that was written."""
    low, high = prompts.load(settings.prompt).scale or (0, 1)
    for number, text in enumerate(written.texts):
        grade = [f"_{round(low + (high - low) * level)}" for level in written.levels[number:][:1]]
        yield STRATEGY.format(part + "".join(grade)), text


def _pair(source: Source, text: str, strategy: str) -> Pair:
    return Pair(
        id=pair_id(source.text, text),
        sentence1=source.text,
        sentence2=text,
        strategy=strategy,
        document1=source.document,
        document2=source.document,
        name1=source.name,
        name2=source.name,
    )


def _drop(record_id: str, reason: str, detail: str) -> Dropped:
    return Dropped(record_id=record_id, stage="label", reason=reason, detail=detail)


def _asked(asked: Sequence[Topic], config: DomainConfig, terms: Terms) -> Found:
    from pipeline.annotation.asking import ask  # noqa: PLC0415 - imports the client library

    return ask(config.label.generate.annotator, writer(config), terms, asked)


def _summary(
    kept: Sequence[Pair], dropped: Sequence[Dropped], config: DomainConfig
) -> dict[str, Any]:
    entry = writer(config)
    return {
        "writer": config.label.generate.annotator,
        "model": entry.model,
        "prompt": entry.prompt,
        "independent": independent(config),
        "in": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": count_reasons(dropped),
        "strategies": dict(Counter(pair.strategy for pair in kept)),
    }


def _measured(found: Found, count: int) -> dict[str, Any]:
    tally = found.tally
    return {
        "asked": count - found.reused,
        "reused": found.reused,
        "usd": dollars(tally.usd),
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "tried_again": tally.retried,
    }


def _partial(results: Sequence[Result]) -> str:
    """Return what is missing that asking again may bring, in words."""
    missing = Counter(one.verdict.reason for one in results if one.state not in ANSWERED)
    return ", ".join(f"{count:,} {word}" for word, count in missing.most_common())
