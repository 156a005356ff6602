"""One question: refused, met by a fault, or answered by the model; the same in a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.endpoint.changes import no_usage
from tests.endpoint.completions import (
    PromptCache,
    complete,
    key_of,
    last_user,
    most_tokens,
    pair_key,
    prompt_tokens,
    text_of,
)
from tests.endpoint.ledger import Entry
from tests.endpoint.limits import Gate
from tests.endpoint.model import texts_of
from tests.endpoint.refusals import Case
from tests.endpoint.script import CHAT, Asked, Chosen, Play
from tests.endpoint.wire import Reply, error_reply, json_reply

_CODES: Final = {"wrong_key": "invalid_api_key", "model_not_found": "model_not_found"}
_NOBODY: Final = "You didn't provide an API key."


class Question(NamedTuple):
    """A request for a completion; ``body`` is what its JSON says."""

    route: str
    body: Mapping[str, Any]
    raw: bytes
    token: str  # what the Authorization header carried
    arrived: float
    in_flight: int = 1
    idempotent: bool = False  # whether it carries an Idempotency-Key
    custom_id: str = ""


class Outcome(NamedTuple):
    """A reply, the fault that it met, and its line in the ledger."""

    reply: Reply
    chosen: Chosen | None
    entry: Entry
    case: Case
    latency: float = 0.0


class Desk:
    """Answers questions by one script."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._gate = Gate(play.script.limits)
        self._cache = PromptCache()
        self._previous: Mapping[str, Any] | None = None

    def answer(self, question: Question) -> Outcome:
        """Return what becomes of a question."""
        script = self._play.script
        number = self._play.count(question.route)
        problem = _problem(question.body)
        texts = () if problem else texts_of(last_user(question.body), script.model.texts)
        entry = new_entry(question, number, texts)
        refused = (400, problem, "bad_body") if problem else self._refused(question)
        if refused:
            status, message, name = refused
            reply = error_reply(status, message, _CODES.get(name))
            return _closed(entry, name, reply, question)
        if question.route == CHAT:
            tokens = prompt_tokens(question.body) + (most_tokens(question.body) or 0)
            late = self._gate.refusal(question.arrived, tokens, question.in_flight)
            if late is not None:
                return _closed(entry, "over_limit", late, question)
        seen = self._play.see(entry["key"])
        text = _searched(question) if self._play.needs_text else ""
        asked = Asked(question.route, number, entry["key"], seen, text, question.body)
        return self._answered(question, asked, entry)

    def _answered(self, question: Question, asked: Asked, entry: Entry) -> Outcome:
        chosen = self._play.choose(asked)
        options = chosen.options if chosen else {}
        case = Case(question.body, question.token, self._previous, options)
        manner = self._play.script.model
        cached = self._cache.hit(question.body, manner.cache_minimum)
        if "say" in options:
            manner = manner._replace(say=options["say"])
        if "style" in options:
            manner = manner._replace(style=options["style"], schemas=False)
        completion = complete(question.body, manner, asked.seen, cached)
        usage = completion["usage"]
        if chosen and chosen.fault.change:
            completion = chosen.fault.change(completion, case)
            usage = completion.get("usage", usage)
        billed = chosen is None or chosen.billed
        if billed:
            self._previous = completion
            entry["prompt_tokens"] = usage["prompt_tokens"]
            entry["completion_tokens"] = usage["completion_tokens"]
        sent = completion if manner.usage else no_usage(completion, case)
        headers = self._headers(question, asked.number)
        reply = json_reply(sent, headers=headers)
        entry["content"] = content_of(completion)
        if chosen and chosen.fault.replace:
            replaced = chosen.fault.replace(reply, case)
            reply = replaced._replace(headers={**headers, **replaced.headers})
            entry["content"] = None
        entry["answered"] = chosen.name if chosen else "good"
        entry["status"], entry["billed"] = reply.status, billed
        return Outcome(reply, chosen, entry, case, self._play.latency(asked))

    def _refused(self, question: Question) -> tuple[int, str, str] | None:
        script = self._play.script
        model = question.body["model"]
        if script.key and question.token != script.key:
            return 401, "Incorrect API key provided." if question.token else _NOBODY, "wrong_key"
        if script.models and model not in script.models:
            return 404, f"The model `{model}` does not exist.", "model_not_found"
        return None

    def _headers(self, question: Question, number: int) -> dict[str, str]:
        headers = {"x-request-id": f"req_{question.route}_{number}"}
        if question.route != CHAT:
            return headers
        return headers | self._gate.headers(question.arrived) | dict(self._play.script.headers)


def _problem(body: Any) -> str:
    """Return what is wrong with a request's body, or nothing."""
    if not isinstance(body, Mapping) or not isinstance(body.get("model"), str):
        return "you must provide a model parameter"
    messages = body.get("messages")
    if not messages or not isinstance(messages, list):
        return "Invalid value for 'messages': a list with at least one message is needed"
    if not all(isinstance(one, Mapping) for one in messages):
        return "Invalid value for 'messages': each is an object"
    if body.get("stream"):
        return "Unsupported value: 'stream' is not supported here"
    if not 0 <= (body.get("top_logprobs") or 0) <= 20:
        return "Invalid value for 'top_logprobs': at most 20"
    limit = most_tokens(body)
    return "Invalid value for 'max_tokens': at least 1" if limit is not None and limit < 1 else ""


def new_entry(question: Question, number: int, texts: Sequence[str]) -> Entry:
    """Return the line of the ledger about a question that nothing is known of yet."""
    body = question.body if isinstance(question.body, Mapping) else {}
    return {
        "serial": 0,
        "route": question.route,
        "number": number,
        "arrived": question.arrived,
        "key": key_of(body.get("messages")),
        "pairs": [pair_key(*texts[at : at + 2]) for at in range(0, len(texts) - 1, 2)],
        "model": str(body.get("model", "")),
        "idempotency_key": question.idempotent,
        "authorization": bool(question.token),
        "early": False,
        "answered": "",
        "status": 0,
        "billed": False,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "content": None,
        "custom_id": question.custom_id,
        "sent": None,
        "gone": False,
    }


def _closed(entry: Entry, name: str, reply: Reply, question: Question) -> Outcome:
    entry["answered"], entry["status"] = name, reply.status
    return Outcome(reply, None, entry, Case(question.body, question.token))


def content_of(completion: Mapping[str, Any]) -> str | None:
    """Return the text of the first choice, if there is one."""
    choices = completion.get("choices") or [{}]
    content = choices[0].get("message", {}).get("content")
    return content if isinstance(content, str) else None


def _searched(question: Question) -> str:
    """Return the text in which rules look for theirs: the body as sent and its messages."""
    messages = "\n".join(text_of(one) for one in question.body["messages"])
    return question.raw.decode("utf-8", "replace") + "\n" + messages


def parsed(raw: bytes) -> Any:
    """Return the JSON of a body, or None."""
    try:
        return json.loads(raw)
    except ValueError:
        return None
