"""What a chat endpoint sent: the body of an HTTP 200, read without trusting it.

A 200 may carry an error page, half a body, a refusal or an answer that was cut off. Whatever the
bytes are, `read` gives a `Reply` or the reason why there is none, never an exception; what was used
is read in either case, since it is billed in either case. The other functions find JSON, lists and
the token of a character in an answer, which is read as a whole and never mended.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Container, Sequence
from typing import Any, Final, NamedTuple

_MOST_TOKENS: Final = 10**9  # more than this is not a count of tokens
_ROUNDING: Final = 0.01  # a log-probability may be above 0 by this much
# What endpoints call the end of an answer that is complete.
_FINISHED: Final = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class TokenLogprob(NamedTuple):
    """A token of an answer, its log-probability, and the likeliest tokens in its place.

    The tokens' texts joined are the answer: of a character in several tokens, the last has it all.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


class Usage(NamedTuple):
    """Tokens as the endpoint counted them; ``cached_tokens`` are among ``prompt_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class Reply(NamedTuple):
    """A complete answer.

    ``refusal`` is None: an answer with a refusal is `Unusable`. ``tokens`` is empty where the
    endpoint sent no log-probabilities, or none that can be read. ``usage`` is None where it sent
    none: unknown, not zero.
    """

    text: str
    finish_reason: str
    refusal: None
    tokens: tuple[TokenLogprob, ...]
    usage: Usage | None
    model: str


class Unusable(NamedTuple):
    """Why there is no answer, one of `REASONS`, and what was used all the same."""

    reason: str
    usage: Usage | None = None


class UnreadableError(Exception):
    """An answer has not the form it should have; the message is the reason, in a word."""


class _Choice(NamedTuple):
    fields: dict[str, Any]
    message: dict[str, Any]
    finish: str | None
    text: str | None  # None: there is content, and it is not text


# Why a body is not a completion.
_BODY_FAULTS: Final[dict[str, Callable[[str], bool]]] = {
    "empty_body": lambda body: not body,
    "html": lambda body: body[:1] == "<",
    "not_json": lambda _: True,
}

# Why a completion is not a usable answer; the first that holds is the reason.
_CHOICE_FAULTS: Final[dict[str, Callable[[_Choice], bool]]] = {
    "content_filter": lambda choice: choice.finish == "content_filter",
    "refused": lambda choice: bool(choice.message.get("refusal")),
    "cut_off": lambda choice: choice.finish in ("length", "max_tokens"),
    "tool_call": lambda choice: any(map(choice.message.get, ("tool_calls", "function_call"))),
    "not_text": lambda choice: choice.text is None,
    "empty": lambda choice: not (choice.text or "").strip(),
    "unfinished": lambda choice: choice.finish not in _FINISHED,
}

REASONS: Final = frozenset(
    {"error_body", "no_choices", "several_choices", *_BODY_FAULTS, *_CHOICE_FAULTS}
)


def read(body: bytes) -> Reply | Unusable:
    """Return the answer in the body of an HTTP 200 of ``/chat/completions``; never raises."""
    text = body.decode("utf-8-sig", "replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return Unusable(_first(_BODY_FAULTS, text.strip()))
    if not isinstance(whole, dict):
        return Unusable("not_json")
    usage = _usage(whole)
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices:
        return Unusable("error_body" if whole.get("error") else "no_choices", usage)
    if len(choices) > 1:
        return Unusable("several_choices", usage)
    choice = _choice(choices[0])
    reason = _first(_CHOICE_FAULTS, choice)
    if reason or choice.text is None:
        return Unusable(reason, usage)
    answer, model = _storable(choice.text), _storable(whole.get("model"))
    return Reply(answer, choice.finish or "", None, _tokens(choice.fields), usage, model)


def _first(faults: dict[str, Callable[[Any], bool]], found: object) -> str:
    return next((reason for reason, holds in faults.items() if holds(found)), "")


def _choice(found: object) -> _Choice:
    fields = _object(found)
    message, finish = _object(fields.get("message")), fields.get("finish_reason")
    content = message.get("content")
    if any(_object(part).get("type") == "refusal" for part in _parts(content)):
        message = {**message, "refusal": content}
    return _Choice(fields, message, finish if isinstance(finish, str) else None, _text(content))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parts(content: object) -> list[object]:
    return content if isinstance(content, list) else []


def _text(content: object) -> str | None:
    """Return the text of a message, which may come in parts; None where a part is no text."""
    if isinstance(content, str | None):
        return content or ""
    parts = [_object(part) for part in _parts(content)]
    texts = [part["text"] for part in parts if part.get("type") == "text" and "text" in part]
    readable = isinstance(content, list) and len(texts) == len(content)
    return "".join(texts) if readable and all(isinstance(text, str) for text in texts) else None


def _storable(text: object) -> str:
    """Return a string as it can be written in UTF-8; half a surrogate pair becomes "?"."""
    return _SURROGATE.sub("?", text) if isinstance(text, str) else ""


def _usage(whole: dict[str, Any]) -> Usage | None:
    used = _object(whole.get("usage"))
    prompt, completion = _count(used.get("prompt_tokens")), _count(used.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    cached = _count(_object(used.get("prompt_tokens_details")).get("cached_tokens"))
    return Usage(prompt, completion, min(cached or 0, prompt))


def _count(value: object) -> int | None:
    # type() and not isinstance(): True is an int.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _tokens(choice: dict[str, Any]) -> tuple[TokenLogprob, ...]:
    """Return the tokens; none where one of them cannot be read, as the rest would not line up."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        return tuple(_token(entry, decoder) for entry in choice["logprobs"]["content"])
    except (LookupError, TypeError, ValueError, OverflowError):
        return ()


def _token(entry: dict[str, Any], decoder: codecs.IncrementalDecoder) -> TokenLogprob:
    token, logprob = _likely(entry)
    if isinstance(entry.get("bytes"), list):
        token = decoder.decode(bytes(entry["bytes"]))
    return TokenLogprob(token, logprob, tuple(map(_likely, entry.get("top_logprobs") or ())))


def _likely(entry: dict[str, Any]) -> tuple[str, float]:
    token, logprob = entry["token"], float(entry["logprob"])
    if not isinstance(token, str) or math.isnan(logprob) or logprob > _ROUNDING:
        raise ValueError(token)
    return token, min(logprob, 0.0)


def answer_of(text: str) -> str:
    """Return what follows the reasoning that a text begins with, without a code fence around it."""
    answer = text.strip()
    if answer.startswith("<think>"):
        answer = answer.partition("</think>")[2].strip()
    if answer.startswith("```") and answer.endswith("```"):
        answer = answer[3:-3].removeprefix("json").strip()
    return answer


def json_of(answer: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return an answer that is JSON.

    Raises:
        UnreadableError: when it is none ("broken_json"), or a key is there twice ("repeated_key").
    """
    try:
        return json.loads(answer, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("broken_json") from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise UnreadableError("repeated_key")
    return dict(pairs)


def token_at(tokens: Sequence[TokenLogprob], answer: str, position: int) -> TokenLogprob | None:
    """Return the token with the character at ``position`` of the answer; None if they differ."""
    start = "".join(token.token for token in tokens).rfind(answer)
    position += start
    for token in tokens if start >= 0 else ():
        if position < len(token.token):
            return token
        position -= len(token.token)
    return None


_NUMBERED: Final = re.compile(
    r"\s{0,9}(?P<name>[0-9]{1,3})\s?[.):：、．](?:\s+|(?![0-9]))(?P<text>\S.*)"  # noqa: RUF001
)
_BULLET: Final = re.compile(r"\s{0,9}(?P<name>[-*•])\s+(?P<text>\S.*)")
_LEVEL: Final = re.compile(
    r"[\s*_#-]{0,9}(?:level|grade|等级)?[\s*_]{0,9}(?P<name>[0-9])[\s*_]{0,9}[.):：、-]"  # noqa: RUF001
    r"[\s*_]{0,9}(?P<text>\S.*)",
    re.IGNORECASE,
)


def listed(answer: str) -> list[str]:
    """Return the items of a list that is numbered from 1 or has bullets; what is around it is left.

    Raises:
        UnreadableError: when there are "several_lists".
    """
    starts = [match["name"] for match in map(_NUMBERED.fullmatch, answer.splitlines()) if match]
    if starts.count("1") > 1:
        raise UnreadableError("several_lists")
    items = _items(answer, _NUMBERED, lambda name, before: name == str(before + 1))
    return [text for _, text in items or _items(answer, _BULLET, lambda *_: True)]


def levelled(answer: str, names: Container[str]) -> dict[str, str]:
    """Return the text after each name of a level ("Level 3: ...").

    Raises:
        UnreadableError: when a level is there twice ("repeated_key").
    """
    return _once(_items(answer, _LEVEL, lambda name, _: name in names))


def _items(
    answer: str, pattern: re.Pattern[str], is_next: Callable[[str, int], bool]
) -> list[tuple[str, str]]:
    """Return name and text of each item; a line right after an item's belongs to it."""
    items: list[tuple[str, list[str]]] = []
    for before, line in zip(["", *answer.splitlines()], answer.splitlines(), strict=False):
        match = pattern.fullmatch(line)
        if match and is_next(match["name"], len(items)):
            items.append((match["name"], [match["text"].strip()]))
        elif items and line.strip() and before.strip():
            items[-1][1].append(line.strip())
    return [(name, " ".join(lines)) for name, lines in items]
