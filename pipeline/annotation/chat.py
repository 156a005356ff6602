"""The chat annotator: a graded score from a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import numpy as np

from pipeline import prompts
from pipeline.annotation.inquiry import Found, Inquiry
from pipeline.annotation.opinions import Opinions, Terms, TextPair
from pipeline.annotation.questions import Slot
from pipeline.artifacts import stage_key
from pipeline.chat import prices, running
from pipeline.chat.engine import Result
from pipeline.chat.faults import Fault
from pipeline.errors import ConfigError, EndpointError
from pipeline.journal.requests import ANSWERED
from pipeline.sections import ChatSettings

log = logging.getLogger(__name__)

# What a person can do about a fault that stops everything.
ADVICE: Final[dict[str, str]] = {
    "wrong_key": "it refuses the key: set {key} to a valid one",
    "no_credit": "its quota or credit is used up: add to it, then run again; answers are kept",
    "forbidden": "the key may not use this model: choose another, or have it allowed",
    "not_found": "nothing answers there: check chat.{name}.base_url, which often ends in /v1",
    "no_such_model": "it does not know the model {model!r}: check chat.{name}.model",
    "wrong_url": "this is no URL: check chat.{name}.base_url",
    "no_chat_endpoint": "what answers is no chat endpoint: check chat.{name}.base_url",
    "bad_request": "it does not accept the request: check chat.{name}",
    "endpoint_down": "it cannot be used now: check that it runs and that there is a network, "
    "then run again; answers are kept",
    "asks_to_wait_long": "it asks to wait for more than an hour: run again then; answers are kept",
}
PARTIAL: Final = ("budget_ended",)  # reasons to stop with which a run goes on
ANSWER_FIELDS: Final = ("model", "prompt", "orders", "samples", "temperature", "logprobs",
                        "structured", "max_tokens", "extra")  # fmt: skip


class ChatAnnotator:
    """Asks a chat model; every answer is kept in the journal before it counts.

    Raises:
        ConfigError: when the prompt gives no score, or the price of a budgeted model is not known.
    """

    def __init__(self, name: str, settings: ChatSettings, terms: Terms) -> None:
        self.name, self._settings, self._terms = name, settings, terms
        self.identity = identity(settings)
        if "text2" not in prompts.KINDS[prompts.load(settings.prompt).output].needs:
            message = f"chat.{name}.prompt: {settings.prompt} does not ask for a score"
            raise ConfigError(message)
        self._price = _price(name, settings, terms)

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the scores, asked for in the order of ``pairs``.

        Raises:
            EndpointError: when the endpoint cannot be used; what it answered is kept.
        """
        inquiry = Inquiry(self.name, self._settings, self.identity, self._price, self._terms)
        found = running.run(lambda: inquiry.run(pairs), inquiry.stop)
        stopped = found.stopped
        if stopped and stopped.reason == "interrupted":
            raise KeyboardInterrupt
        if stopped and stopped.reason not in PARTIAL:
            raise EndpointError(self._advice(stopped))
        return self._opinions(found, len(pairs))

    def _advice(self, fault: Fault) -> str:
        what = ADVICE.get(fault.reason, fault.reason.replace("_", " "))
        values = {**self._settings.model_dump(), "name": self.name}
        said = f" (it said: {fault.detail})" if fault.detail else ""
        return f"chat.{self.name} at {self._settings.base_url}: {what.format(**values)}{said}"

    def _opinions(self, found: Found, count: int) -> Opinions:
        by_pair: list[dict[Slot, Result]] = [{} for _ in range(count)]
        for slot, result in found.results.items():
            by_pair[slot.pair][slot] = result
        scored = [score(results) for results in by_pair]
        reasons = ["" if value is not None else reason(results)
                   for value, results in zip(scored, by_pair, strict=True)]  # fmt: skip
        missing = Counter(word for word in reasons if word)
        tally = found.tally
        return Opinions(
            scores=[math.nan if value is None else value for value in scored],
            reused=found.reused // (self._settings.orders * self._settings.samples),
            reasons=reasons,
            confidences=[confidence(results) for results in by_pair],
            summary={"missing_by_reason": dict(missing), "order": order_bias(by_pair)},
            measured={
                "usd": prices.dollars(tally.usd),
                "prompt_tokens": tally.prompt_tokens,
                "completion_tokens": tally.completion_tokens,
                "tried_again": tally.retried,
                "questions": dict(tally.states),
            },
            partial=_partial(by_pair, reasons),
        )


def identity(settings: ChatSettings) -> str:
    """Return what decides the answers: the model and where it is, the prompt's words, the settings.

    Traffic and prices are not part of it, nor are port and path of the endpoint.
    """
    values = {field: getattr(settings, field) for field in ANSWER_FIELDS}
    values["prompt"] = prompts.identity(settings.prompt)
    return stage_key("chat", 1, host=prices.host(settings.base_url), **values)


def score(results: Mapping[Slot, Result]) -> float | None:
    """Return the mean of a pair's scores over orders and samples, each order counting the same."""
    by_order: dict[int, list[float]] = {}
    for slot, result in results.items():
        if result.state == "accepted":
            by_order.setdefault(slot.order, []).append(result.verdict.value.value)
    return fmean(fmean(values) for values in by_order.values()) if by_order else None


def confidence(results: Mapping[Slot, Result]) -> float | None:
    """Return the mean confidence in [0, 1] of a pair's scores; None where none is known."""
    known = [result.verdict.value.confidence
             for result in results.values() if result.state == "accepted"]  # fmt: skip
    values = [value for value in known if value is not None]
    return fmean(values) if values else None


def reason(results: Mapping[Slot, Result]) -> str:
    """Return why a pair has no score: the reason of its first question."""
    return next((result.verdict.reason for result in results.values()), "unasked")


def order_bias(by_pair: Sequence[Mapping[Slot, Result]]) -> dict[str, Any]:
    """Return by how much a pair's score depends on the order of its texts.

    ``bias`` is the mean of (score as asked first − score the other way round) with a normal 95 %
    interval; ``difference`` the mean without sign.
    """
    differences = []
    for results in by_pair:
        parts = {order: score({s: r for s, r in results.items() if s.order == order})
                 for order in (0, 1)}  # fmt: skip
        if parts[0] is not None and parts[1] is not None:
            differences.append(parts[0] - parts[1])
    if len(differences) < 2:
        return {"pairs": len(differences)}
    values = np.array(differences)
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return {"pairs": len(values), "bias": mean, "low": mean - half, "high": mean + half,
            "difference": float(np.abs(values).mean())}  # fmt: skip


def _partial(by_pair: Sequence[Mapping[Slot, Result]], reasons: Sequence[str]) -> str:
    """Return what is missing that asking again may bring, in words."""
    open_ = Counter(
        word for word, results in zip(reasons, by_pair, strict=True)
        if word and any(result.state not in ANSWERED for result in results.values())
    )  # fmt: skip
    return ", ".join(f"{count:,} {word}" for word, count in open_.most_common())


def _price(name: str, settings: ChatSettings, terms: Terms) -> prices.Price:
    price = prices.price_of(settings)
    if price is None and terms.budget.usd is not None:
        message = (
            f"label.budget_usd: nobody knows the price of {settings.model!r}: set "
            f"chat.{name}.price_input and chat.{name}.price_output, in dollars for a million tokens"
        )
        raise ConfigError(message)
    if price is None:
        log.warning("%s: the price of %s is not known; costs are not counted", name, settings.model)
    return price or prices.Price(0.0, 0.0)
