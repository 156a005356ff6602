"""Asking a configured chat model, from plain code: what identifies it, what it costs, what it says
when it cannot be used.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from pipeline import prompts
from pipeline.annotation.inquiry import Found, Inquiry
from pipeline.annotation.opinions import Terms
from pipeline.annotation.questions import Topic
from pipeline.artifacts import stage_key
from pipeline.chat import prices, running
from pipeline.chat.faults import Fault
from pipeline.errors import ConfigError, EndpointError
from pipeline.sections import ChatSettings

log = logging.getLogger(__name__)

# What a person can do about a fault that stops everything.
ADVICE: Final[dict[str, str]] = {
    "wrong_key": "it refuses the key: set {key} to a valid one",
    "key_needed": "it wants a key: set chat.{name}.key to the name of the variable that holds it",
    "no_credit": "its quota or credit is used up: add to it, then run again; answers are kept",
    "forbidden": "the key may not use this model: choose another, or have it allowed",
    "not_found": "nothing answers there: check chat.{name}.base_url, which often ends in /v1, "
    "and chat.{name}.model",
    "no_such_model": "it does not know the model {model!r}: check chat.{name}.model",
    "moved": "it is elsewhere: set chat.{name}.base_url to where it is",
    "wrong_url": "this is no URL: check chat.{name}.base_url",
    "no_chat_endpoint": "what answers is no chat endpoint: check chat.{name}.base_url",
    "bad_request": "it does not accept the request: check chat.{name}",
    "endpoint_down": "it cannot be used now: check that it runs and that there is a network, "
    "then run again; answers are kept",
    "keeps_refusing": "it lets no request through: run again later, or set "
    "chat.{name}.requests_per_minute to what it allows; answers are kept",
    "batch_cancelled": "somebody cancelled its batch; run again to ask for the rest; answers are "
    "kept",
    "batch_failed": "it failed several batches in a row: run again later; answers are kept",
    "token_limit_exceeded": "too much is waiting at the provider: run again later, or lower "
    "chat.{name}.batch_size",
    "asks_to_wait_long": "it asks to wait for more than an hour: run again then; answers are kept",
}
PARTIAL: Final = ("budget_ended",)  # reasons to stop with which a run goes on
ANSWER_FIELDS: Final = (
    "model",
    "prompt",
    "temperature",
    "logprobs",
    "structured",
    "max_tokens",
    "extra",
)


def ask(name: str, settings: ChatSettings, terms: Terms, topics: Sequence[Topic]) -> Found:
    """Return how every topic ended, asked of the chat model called ``name`` in their order.

    Raises:
        EndpointError: when the endpoint cannot be used; what it answered is kept.
        KeyboardInterrupt: when it was interrupted; what was on its way is kept.
    """
    inquiry = Inquiry(name, settings, identity(settings), price(name, settings, terms), terms)
    found = running.run(lambda: inquiry.run(topics), inquiry.stop)
    stopped = found.stopped
    if stopped and stopped.reason == "interrupted":
        raise KeyboardInterrupt
    if stopped and stopped.reason not in PARTIAL:
        raise EndpointError(_advice(name, settings, stopped))
    return found


def identity(settings: ChatSettings) -> str:
    """Return what decides the answers: the model and where it is, the prompt's words, the settings.

    Traffic and prices are not part of it, nor are port and path of the endpoint.
    """
    values = {field: getattr(settings, field) for field in ANSWER_FIELDS}
    if settings.pairs_per_request > 1:  # what stands beside a pair may change its grade
        values["pairs"] = settings.pairs_per_request
    values["prompt"] = prompts.identity(settings.prompt)
    digest = stage_key("chat", 1, host=prices.host(settings.base_url), **values)
    return f"{settings.model} {settings.prompt} {digest}"


def price(name: str, settings: ChatSettings, terms: Terms) -> prices.Price:
    """Return the price of a chat model; nothing where nobody knows it and no money is budgeted.

    Raises:
        ConfigError: when nobody knows the price of a model that a budget in dollars is set for.
    """
    known = prices.price_of(settings)
    if known is None and terms.budget.usd is not None:
        message = (
            f"label.budget_usd: nobody knows the price of {settings.model!r}: set "
            f"chat.{name}.price_input and chat.{name}.price_output, in dollars for a million tokens"
        )
        raise ConfigError(message)
    if known is None:
        log.warning("%s: the price of %s is not known; costs are not counted", name, settings.model)
    return known or prices.Price(0.0, 0.0)


def _advice(name: str, settings: ChatSettings, fault: Fault) -> str:
    reason = "key_needed" if fault.reason == "wrong_key" and not settings.key else fault.reason
    what = ADVICE.get(reason, reason.replace("_", " "))
    said = f" (it said: {fault.detail})" if fault.detail else ""
    filled = what.format(**{**settings.model_dump(), "name": name})
    return f"chat.{name} at {settings.base_url}: {filled}{said}"
