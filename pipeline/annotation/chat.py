"""The chat annotator: a graded score from a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from pipeline import prompts
from pipeline.annotation import asking, questions, together
from pipeline.annotation.inquiry import Found
from pipeline.annotation.opinions import Opinions, Terms, TextPair
from pipeline.annotation.questions import Topic
from pipeline.chat import prices
from pipeline.chat.engine import Result
from pipeline.errors import ConfigError
from pipeline.journal.requests import ANSWERED
from pipeline.sections import ChatSettings

Results = Mapping[Topic, Result]
Ask = Callable[[str, ChatSettings, Terms, Sequence[Topic]], Found]


class ChatAnnotator:
    """Asks a chat model; every answer is kept in the journal before it counts.

    Raises:
        ConfigError: when the prompt gives no score, or the price of a budgeted model is not known.
    """

    def __init__(self, name: str, settings: ChatSettings, terms: Terms) -> None:
        self.name, self._settings, self._terms = name, settings, terms
        self.identity = asking.identity(settings)
        self._ask = _way(name, settings)
        asking.price(name, settings, terms)

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the scores, asked for in the order of ``pairs``.

        Raises:
            EndpointError: when the endpoint cannot be used; what it answered is kept.
        """
        topics = [
            [
                questions.of_pair(pair, order, sample)
                for order in questions.orders(pair, self._settings)
                for sample in range(self._settings.samples)
            ]
            for pair in pairs
        ]
        flat = list(dict.fromkeys(topic for some in topics for topic in some))
        found = self._ask(self.name, self._settings, self._terms, flat)
        results = dict(zip(flat, found.results, strict=True))
        return self._opinions([{t: results[t] for t in some} for some in topics], found)

    def _opinions(self, by_pair: Sequence[Results], found: Found) -> Opinions:
        scored = [score(results) for results in by_pair]
        reasons = ["" if value is not None else reason(results)
                   for value, results in zip(scored, by_pair, strict=True)]  # fmt: skip
        missing = Counter(word for word in reasons if word)
        tally = found.tally
        return Opinions(
            scores=[math.nan if value is None else value for value in scored],
            reused=found.reused // max(1, len(by_pair[0]) if by_pair else 1),
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
            partial=_partial(by_pair),
        )


def _way(name: str, settings: ChatSettings) -> Ask:
    """Return how a prompt is asked, for one pair at a time or for several."""
    needs = prompts.KINDS[prompts.load(settings.prompt).output].needs
    if "pairs" in needs:
        return together.ask
    if settings.pairs_per_request > 1:
        message = (
            f"chat.{name}.pairs_per_request: {settings.prompt} asks about one pair; set "
            f"chat.{name}.prompt to one for several, such as similarity-several.v1"
        )
        raise ConfigError(message)
    if "text2" not in needs:
        message = f"chat.{name}.prompt: {settings.prompt} does not ask for a score"
        raise ConfigError(message)
    return asking.ask


def score(results: Results) -> float | None:
    """Return the mean of a pair's scores over orders and samples, each order counting the same."""
    by_order: dict[str, list[float]] = {}
    for topic, result in results.items():
        if result.state == "accepted":
            by_order.setdefault(topic.part.split()[0], []).append(result.verdict.value.value)
    return fmean(fmean(values) for values in by_order.values()) if by_order else None


def confidence(results: Results) -> float | None:
    """Return the mean confidence in [0, 1] of a pair's scores; None where none is known."""
    known = [result.verdict.value.confidence
             for result in results.values() if result.state == "accepted"]  # fmt: skip
    values = [value for value in known if value is not None]
    return fmean(values) if values else None


def reason(results: Results) -> str:
    """Return why a pair has no score: the reason of its first question."""
    return next((result.verdict.reason for result in results.values()), "unasked")


def order_bias(by_pair: Sequence[Results]) -> dict[str, Any]:
    """Return by how much a pair's score depends on the order of its texts.

    ``bias`` is the mean of (score as asked first − score the other way round) with a normal 95 %
    interval; ``difference`` the mean without sign.
    """
    differences = []
    for results in by_pair:
        first, second = (
            score({topic: one for topic, one in results.items() if topic.part[0] == order})
            for order in "01"
        )
        if first is not None and second is not None:
            differences.append(first - second)
    if len(differences) < 2:
        return {"pairs": len(differences)}
    values = np.array(differences)
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return {"pairs": len(values), "bias": mean, "low": mean - half, "high": mean + half,
            "difference": float(np.abs(values).mean())}  # fmt: skip


def _partial(by_pair: Sequence[Results]) -> str:
    """Return what is missing that asking again may bring, in words, by pairs."""
    missing = Counter(
        next((one.verdict.reason for one in results.values() if one.state not in ANSWERED), "")
        for results in by_pair
    )
    return ", ".join(f"{count:,} {word}" for word, count in missing.most_common() if word)
