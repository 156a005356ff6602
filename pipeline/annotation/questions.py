"""From pairs to what is asked of a chat model: keys and request bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline import prompts
from pipeline.annotation.opinions import TextPair
from pipeline.annotation.scoring import OUTPUTS, Output
from pipeline.chat.engine import Ask
from pipeline.chat.prices import Price, most
from pipeline.chat.replies import Reply
from pipeline.fences import inert
from pipeline.journal.entries import Question
from pipeline.prompts import Messages
from pipeline.records import digest_of, normalised, pair_id
from pipeline.sections import ChatSettings

DIRECTED: Final = frozenset({"relevance"})  # tasks in which the texts are not of one kind
REPAIR: Final = "repair.v1"  # the prompt of the second round
_QUOTED: Final = 1_000  # characters of an unreadable reply that are sent back
TOP_LOGPROBS: Final = 20  # the most that endpoints give


class Features(NamedTuple):
    """What an endpoint is asked to do beyond answering; not every one can."""

    schema: bool
    logprobs: bool


class Topic(NamedTuple):
    """What is asked about: a subject with an id, which part of it, and the prompt's values."""

    subject: str
    part: str
    values: tuple[tuple[str, str | int | prompts.Pairs], ...]

    @property
    def pairs(self) -> int:
        """How many pairs it is about."""
        return sum(len(value) for _, value in self.values if isinstance(value, tuple)) or 1


def candidates(settings: ChatSettings) -> list[Features]:
    """Return the features to try at an endpoint, the most wanted first."""
    prompt = prompts.load(settings.prompt)
    output, choices = (
        OUTPUTS[prompt.output],
        {"yes": (True,), "no": (False,), "auto": (True, False)},
    )
    schemas = choices[settings.structured] if output.schema(prompt, 1) else (False,)
    logprobs = choices[settings.logprobs] if output.uses_logprobs else (False,)
    return [Features(schema=one, logprobs=other) for one in schemas for other in logprobs]


def of_pair(pair: TextPair, order: int, sample: int) -> Topic:
    """Return a pair as a topic; that of (a, b) and that of (b, a) have one subject and part."""
    first, second = ordered(pair, order)
    return Topic(pair_id(*pair), f"{order} {sample}", (("text1", first), ("text2", second)))


def orders(pair: TextPair, settings: ChatSettings) -> list[int]:
    """Return the orders in which a pair is asked.

    Where the two texts play different parts (a query and a passage), it is asked as it is.
    """
    if prompts.load(settings.prompt).task in DIRECTED:
        return [int(ordered(pair, 0) != pair)]
    return list(range(settings.orders))


def question(identity: str, topic: Topic, follow_up: str = "") -> Question:
    """Return the question about a topic; ``follow_up`` is "" for first questions."""
    parts = (identity, topic.subject, topic.part, follow_up)
    return Question(digest_of(*parts) + digest_of("key", *parts), identity, topic.subject)


def ordered(pair: TextPair, order: int) -> TextPair:
    """Return the texts as they are asked: sorted, or with ``order`` 1 the other way round."""
    first, second = sorted(pair, key=lambda text: (normalised(text), text))
    return (second, first) if order else (first, second)


def body(
    settings: ChatSettings,
    messages: Sequence[Mapping[str, str]],
    features: Features,
    pairs: int = 1,
    longer: int = 1,
) -> dict[str, Any]:
    """Return the request body about ``pairs``; ``longer`` multiplies the longest answer."""
    prompt = prompts.load(settings.prompt)
    output = OUTPUTS[prompt.output]
    found: dict[str, Any] = {
        "model": settings.model,
        "messages": list(messages),
        settings.max_tokens_name: (settings.max_tokens or output.max_tokens * pairs) * longer,
    }
    if settings.temperature is not None:
        found["temperature"] = settings.temperature
    if features.schema:
        found["response_format"] = output.schema(prompt, pairs)
    if features.logprobs:
        found |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return found | settings.extra


def repair_messages(messages: Messages, reply: Reply, output: Output) -> Messages:
    """Return the messages of the one repair round: those before, the reply, and what was wanted."""
    said = {"role": "assistant", "content": inert(reply.text[:_QUOTED])}
    again = {"role": "user", "content": prompts.load(REPAIR).render(text=output.form)}
    return (*messages, said, again)


def ask(asked: Question, request: Mapping[str, Any], settings: ChatSettings, price: Price) -> Ask:
    """Return the question with its request and the most that it can cost."""
    return Ask(asked, request, most(price, request, int(request[settings.max_tokens_name])))
