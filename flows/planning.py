"""What a run would do and about how long it would take, without a language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from flows import pricing
from flows.execution import check
from pipeline import gold, graph, prompts
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.mining.texts import SHARES
from pipeline.records import Document
from pipeline.settings import home

# Tokens a second of the built-in backbone on two processor cores, bfloat16: forward; forward and
# backward with adapters in every layer.
FORWARD: Final = 1_000.0
TRAINING: Final = 280.0
TOKENS_PER_WORD: Final = 1.4
TEMPLATE_TOKENS: Final = 10
PROMPT_TOKENS: Final = 8
# How much more of a stage two rounds are: the first one trains with half of the pairs.
AGAIN: Final[Mapping[str, float]] = {"mine": 2.0, "train": 1.5, "evaluate": 2.0}
# Seconds of the stages that use no model.
PLAIN: Final[Mapping[str, float]] = {"collect": 5.0, "clean": 3.0, "curate": 1.0, "publish": 1.0}


class Plan(NamedTuple):
    """The size of a run, in the order it is shown."""

    documents: int
    texts: int
    pairs: int
    gold_pairs: int
    annotations: Mapping[str, int]
    prompt: str
    seconds: Mapping[str, float]
    chat: Sequence[str] = ()  # what chat models would be asked and cost, line by line


def make(domain: str, overrides: Sequence[str]) -> Plan:
    """Return what a run of ``domain`` would do; collects and cleans its text, which is kept.

    Raises:
        AngleAdaptError: when the run would fail before its first pair.
    """
    config = check(domain, overrides)
    store = Store(home())
    references: dict[str, Reference] = {}
    for name in ("collect", "clean"):
        graph.refresh(graph.STAGES[name], config)
        outcome = graph.materialise(graph.STAGES[name], references, config, store)
        references[name] = outcome.entry.reference
    kept = store.rows(references["clean"], Document)
    summary = store.json(references["clean"])
    gold_pairs = len([pair for pair in gold.load(config) if pair.split == "dev"])
    return Plan(
        documents=summary["in"],
        texts=len(kept),
        pairs=config.mine.pairs,
        gold_pairs=gold_pairs,
        annotations=dict.fromkeys(config.label.annotators, config.mine.pairs + gold_pairs),
        prompt=_example(config, kept),
        seconds=stage_seconds(config, kept),
        chat=pricing.lines(pricing.asked(config, kept, config.mine.pairs + gold_pairs), config),
    )


def _example(config: DomainConfig, kept: Sequence[Document]) -> str:
    if "likelihood" not in config.label.annotators or not kept:
        return ""
    text = " ".join(kept[0].text.split()[: config.mine.max_words])
    return prompts.load(config.label.prompt).render(text=text)


def stage_seconds(config: DomainConfig, kept: Sequence[Document]) -> dict[str, float]:
    """Return a rough time for every stage: tokens to be read, over tokens a second."""
    words = [min(len(document.text.split()), config.mine.max_words) for document in kept]
    tokens = TOKENS_PER_WORD * sum(words) / max(1, len(words))
    encoded = min(tokens, config.encoder.max_length) + TEMPLATE_TOKENS
    pairs, depth = config.mine.pairs, config.train.lora_depth
    held = Counter(pair.split for pair in gold.load(config))
    asked = pairs + held["dev"]
    likelihood = asked * 2 * (2 * tokens + PROMPT_TOKENS) + 2 * asked * tokens
    search = config.evaluate.retrieval_texts + config.evaluate.retrieval_queries
    strategies = config.mine.shares or SHARES[config.mine.sampler]
    labelled = min(pairs, len(strategies) * config.evaluate.strategy_pairs)
    learned = config.train.epochs * config.train.share * pairs * 2 * encoded * depth / TRAINING
    # The layers below the adapters run once per text, for base and adapted alike.
    below = 2 * asked * encoded * (1 - depth) / FORWARD
    dev = 2 * held["dev"] * encoded * depth * (config.train.evaluations + 1) / FORWARD
    estimates = {
        **PLAIN,
        "mine": min(len(kept), config.mine.texts) * encoded / FORWARD,
        "label": likelihood / FORWARD if "likelihood" in config.label.annotators else 1.0,
        "train": learned + below + dev,
        "evaluate": (search + 2 * (held["test"] + labelled)) * encoded * (1 + depth) / FORWARD,
    }
    again = AGAIN if config.mine.rounds == 2 else {}
    return {name: estimates.get(name, 0.0) * again.get(name, 1) for name in graph.STAGES}


def text(plan: Plan) -> str:
    """Return a plan as a few readable lines."""
    total = sum(plan.seconds.values())
    annotations = ", ".join(f"{count:,} by {who}" for who, count in plan.annotations.items())
    stages = ", ".join(f"{stage} {duration(took)}" for stage, took in plan.seconds.items())
    lines = [
        f"documents    {plan.documents:,} collected",
        f"texts        {plan.texts:,} left after cleaning",
        f"pairs        {plan.pairs:,} to be mined, {plan.gold_pairs:,} gold dev pairs beside them",
        f"annotations  {annotations}",
        f"time         about {duration(total)} when nothing is cached: {stages}",
    ]
    if plan.prompt:
        lines += ["", "an example prompt of the likelihood annotator:", ""]
        lines += [f"    {line}" for line in plan.prompt.splitlines()]
    if plan.chat:
        lines += ["", *plan.chat]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a rough time in words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
