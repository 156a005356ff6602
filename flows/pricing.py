"""What asking chat models would cost, before a cent is spent: an estimate, and the most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final, NamedTuple

from pipeline import prompts
from pipeline.annotation import generation
from pipeline.chat import prices
from pipeline.chat.prices import Price
from pipeline.config import DomainConfig
from pipeline.records import Document
from pipeline.sections import ChatSettings

BYTES_PER_TOKEN: Final = 4.0
ANSWER_TOKENS: Final = 8.0  # of a grade in JSON
TOKENS_PER_WRITTEN: Final = 200.0  # of an answer that writes variants
SAMPLE: Final = 50  # pairs of texts whose prompts are measured


class Asked(NamedTuple):
    """What one chat model would be asked; dollars are None where nobody knows the price."""

    name: str
    model: str
    questions: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    prompt: str  # an example, whole


def asked(config: DomainConfig, texts: Sequence[Document], pairs: int) -> list[Asked]:
    """Return what each chat model would be asked about ``pairs`` pairs of the given texts.

    Pairs with variants that a model writes come on top: how many are kept shows when they are
    written, and here all of them are.

    Nothing is taken from the journal here: answers that are in it make a run cheaper.
    """
    shown = [_cut(document.text, config.mine.max_words) for document in texts[: SAMPLE + 1]]
    if len(shown) < 2:
        return []
    pairs += written(config)
    scored = [
        _scoring(name, config.chat[name], shown, pairs)
        for name in config.label.annotators
        if name in config.chat
    ]
    writer = config.label.generate.annotator
    return scored + ([_writing(config, shown)] if writer in config.chat else [])


def written(config: DomainConfig) -> int:
    """Return the most variants that would be written."""
    wanted = config.label.generate
    if not wanted.annotator:
        return 0
    prompt = prompts.load(wanted.prompt)
    low, high = prompt.scale or (1, wanted.size)
    return wanted.texts * len(generation.PARTS[prompt.output]) * (high - low + 1)


def lines(found: Sequence[Asked], config: DomainConfig) -> list[str]:
    """Return a line for each chat model, one for the budget, and an example prompt of each."""
    if not found:
        return []
    table = [f"chat         {_line(one)}" for one in found]
    table.append(f"budget       {_budget(config)}")
    for one in found:
        table += ["", f"an example prompt of {one.name}:", ""]
        table += [f"    {line}" for line in one.prompt.splitlines()]
    return table


def _scoring(name: str, settings: ChatSettings, texts: Sequence[str], pairs: int) -> Asked:
    prompt = prompts.load(settings.prompt)
    size, shown = settings.pairs_per_request, list(pairwise(texts))
    if "pairs" in prompts.KINDS[prompt.output].needs:
        sets = [tuple(shown[start : start + size]) for start in range(0, len(shown), size)]
        rendered = [prompt.messages(pairs=some) for some in sets]
    else:
        rendered = [prompt.messages(text1=first, text2=second) for first, second in shown]
    questions = math.ceil(pairs / size) * settings.orders * settings.samples
    return _asked((name, settings), rendered, questions, ANSWER_TOKENS * size)


def _writing(config: DomainConfig, texts: Sequence[str]) -> Asked:
    wanted = config.label.generate
    settings = generation.writer(config)
    prompt = prompts.load(wanted.prompt)
    parts = generation.PARTS[prompt.output]
    sized = {"size": wanted.size} if "size" in prompts.KINDS[prompt.output].may_use else {}
    rendered = [
        prompt.messages(text=text, **values, **sized) for text in texts for values in parts.values()
    ]
    questions = wanted.texts * len(parts)
    return _asked((wanted.annotator, settings), rendered, questions, TOKENS_PER_WRITTEN)


def _asked(
    who: tuple[str, ChatSettings],
    rendered: Sequence[prompts.Messages],
    questions: int,
    answer_tokens: float,
) -> Asked:
    name, settings = who
    size = fmean(sum(len(one["content"].encode()) for one in some) for some in rendered)
    prompt_tokens = round(questions * size / BYTES_PER_TOKEN)
    completion_tokens = round(questions * answer_tokens)
    price: Price | None = prices.price_asked(settings, questions)
    usd = prices.dollars(price.cost(prompt_tokens, completion_tokens).usd) if price else None
    example = "\n\n".join(f"[{one['role']}]\n{one['content']}" for one in rendered[0])
    return Asked(name, settings.model, questions, prompt_tokens, completion_tokens, usd, example)


def _line(one: Asked) -> str:
    cost = "price not known" if one.usd is None else f"about ${one.usd:.2f}"
    return (
        f"{one.name} ({one.model}): {one.questions:,} questions, about {one.prompt_tokens:,} + "
        f"{one.completion_tokens:,} tokens, {cost} when nothing is in the journal"
    )


def _budget(config: DomainConfig) -> str:
    label = config.label
    most = {"$": label.budget_usd, "tokens": label.budget_tokens, "requests": label.budget_requests}
    set_ = [
        f"${value:,.2f}" if unit == "$" else f"{value:,} {unit}"
        for unit, value in most.items()
        if value is not None
    ]
    if not set_:
        return "none: set label.budget_usd, label.budget_tokens or label.budget_requests"
    return f"at most {', '.join(set_)}; what is not reached stays unlabelled"


def _cut(text: str, words: int) -> str:
    return " ".join(text.split()[:words])
