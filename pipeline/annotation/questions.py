"""From pairs to what is asked of a chat model: keys and request bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline import prompts
from pipeline.annotation.opinions import TextPair
from pipeline.annotation.scoring import OUTPUTS
from pipeline.chat.engine import Ask
from pipeline.chat.prices import Price, most
from pipeline.journal.entries import Question
from pipeline.records import digest_of, normalised, pair_id
from pipeline.sections import ChatSettings

DIRECTED: Final = frozenset({"relevance"})  # tasks in which the texts are not of one kind
TOP_LOGPROBS: Final = 20  # the most that endpoints give


class Features(NamedTuple):
    """What an endpoint is asked to do beyond answering; not every one can."""

    schema: bool
    logprobs: bool


class Slot(NamedTuple):
    """One answer that a pair needs: which pair, in which order, which sample."""

    pair: int
    order: int
    sample: int


def candidates(settings: ChatSettings) -> list[Features]:
    """Return the features to try at an endpoint, the most wanted first."""
    prompt = prompts.load(settings.prompt)
    output, choices = (
        OUTPUTS[prompt.output],
        {"yes": (True,), "no": (False,), "auto": (True, False)},
    )
    schemas = choices[settings.structured] if output.schema(prompt) else (False,)
    logprobs = choices[settings.logprobs] if output.uses_logprobs else (False,)
    return [Features(schema=one, logprobs=other) for one in schemas for other in logprobs]


def slots(pairs: Sequence[TextPair], settings: ChatSettings) -> list[Slot]:
    """Return the answers that ``pairs`` need, pair by pair.

    Where the two texts play different parts (a query and a passage), a pair is asked as it is.
    """
    directed = prompts.load(settings.prompt).task in DIRECTED
    return [
        Slot(number, order, sample)
        for number, pair in enumerate(pairs)
        for order in ([order_of(pair)] if directed else range(settings.orders))
        for sample in range(settings.samples)
    ]


def question(identity: str, pair: TextPair, slot: Slot, follow_up: str = "") -> Question:
    """Return the question behind a slot; its key is the same for (a, b) and (b, a).

    ``follow_up`` names the kind of a second round, "" for first questions.
    """
    subject = pair_id(*pair)
    parts = (identity, subject, str(slot.order), str(slot.sample), follow_up)
    return Question(digest_of(*parts) + digest_of("key", *parts), identity, subject)


def ordered(pair: TextPair, order: int) -> TextPair:
    """Return the texts as they are asked: sorted, or with ``order`` 1 the other way round."""
    first, second = sorted(pair, key=lambda text: (normalised(text), text))
    return (second, first) if order else (first, second)


def order_of(pair: TextPair) -> int:
    """Return the order in which ``pair`` is given."""
    return int(ordered(pair, 0) != pair)


def body(
    settings: ChatSettings,
    messages: Sequence[Mapping[str, str]],
    features: Features,
    longer: int = 1,
) -> dict[str, Any]:
    """Return the request body; ``longer`` multiplies the longest answer."""
    prompt = prompts.load(settings.prompt)
    output = OUTPUTS[prompt.output]
    found: dict[str, Any] = {
        "model": settings.model,
        "messages": list(messages),
        settings.max_tokens_name: (settings.max_tokens or output.max_tokens) * longer,
    }
    if settings.temperature is not None:
        found["temperature"] = settings.temperature
    if features.schema:
        found["response_format"] = output.schema(prompt)
    if features.logprobs:
        found |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return found | settings.extra


def ask(asked: Question, request: Mapping[str, Any], settings: ChatSettings, price: Price) -> Ask:
    """Return the question with its request and the most that it can cost."""
    return Ask(asked, request, most(price, request, int(request[settings.max_tokens_name])))
