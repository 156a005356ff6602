"""Faults of the completion: well-formed answers that say something else than was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.endpoint.completions import usage_of
from tests.endpoint.model import pieces
from tests.endpoint.refusals import Case

Completion = dict[str, Any]
Change = Callable[[Completion, Case], Completion]
APOLOGY = "I'm sorry, but I can't help with that."


def message(finish: str = "stop", **fields: Any) -> Change:
    """Return a change of the message and of the reason for which it ended."""

    def change(completion: Completion, _: Case) -> Completion:
        for choice in completion["choices"]:
            choice["message"] |= fields
            choice |= {"finish_reason": finish, "logprobs": None}
        return completion

    return change


def no_choices(completion: Completion, _: Case) -> Completion:
    """Leave the list of choices empty."""
    return completion | {"choices": []}


def cut_off(completion: Completion, _: Case) -> Completion:
    """Cut the text in half, as at the limit of tokens."""
    for choice in completion["choices"]:
        text = choice["message"]["content"]
        choice["message"]["content"] = text[: len(text) // 2]
        choice["finish_reason"] = "length"
    return completion


def reasoned(completion: Completion, case: Case) -> Completion:
    """Spend all tokens on reasoning that is billed and not shown."""
    spent = int(case.options["tokens"])
    prompt = completion["usage"]["prompt_tokens"]
    changed = message("length", content="")(completion, case)
    return changed | {"usage": usage_of(prompt, spent, reasoning=spent)}


def says(completion: Completion, case: Case) -> Completion:
    """Answer with the text that the script gives."""
    text = str(case.options["content"])
    prompt = completion["usage"]["prompt_tokens"]
    changed = message("stop", content=text)(completion, case)
    return changed | {"usage": usage_of(prompt, len(pieces(text)))}


def stale(completion: Completion, case: Case) -> Completion:
    """Answer with what was answered to the request before."""
    return dict(case.previous) if case.previous is not None else completion


def no_usage(completion: Completion, _: Case) -> Completion:
    """Leave ``usage`` out."""
    return {name: value for name, value in completion.items() if name != "usage"}


def logprobs(value: Any) -> Change:
    """Return a change of ``logprobs`` to ``value``, or of its numbers to NaN."""

    def change(completion: Completion, _: Case) -> Completion:
        for choice in completion["choices"]:
            if not isinstance(value, float):
                choice["logprobs"] = value
            elif choice["logprobs"]:
                for place in choice["logprobs"]["content"]:
                    for entry in (place, *place["top_logprobs"]):
                        entry["logprob"] = math.nan
        return completion

    return change
