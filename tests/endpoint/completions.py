"""Chat completions as OpenAI shapes them, from a request's body and the model's opinion."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.endpoint.model import Manner, Token, logprobs_of, pieces, share, texts_of, tokens_of
from tests.endpoint.schemas import Place, Question, fill

Body = Mapping[str, Any]
_BLOCK: Final = 128  # tokens; prompts are cached in steps of it


def key_of(messages: object) -> str:
    """Return the key under which the ledger counts requests with these messages."""
    text = json.dumps(messages, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def pair_key(first: str, second: str) -> str:
    """Return the key of two texts in this order."""
    return key_of([first, second])[:16]


def text_of(message: Body) -> str:
    """Return the text of a message, whose content may come in parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def last_user(body: Body) -> str:
    """Return the text of the last user message."""
    messages = body.get("messages", [])
    return next((text_of(one) for one in reversed(messages) if one.get("role") == "user"), "")


def prompt_tokens(body: Body) -> int:
    """Return how many tokens the prompt counts: four characters each, and four for a message."""
    return 3 + sum(4 + -(-len(text_of(one)) // 4) for one in body.get("messages", []))


def most_tokens(body: Body) -> int | None:
    """Return after how many tokens the answer is cut off, if at all."""
    given = [body.get("max_tokens"), body.get("max_completion_tokens")]
    return min((limit for limit in given if limit is not None), default=None)


class PromptCache:
    """Which starts of prompts were seen before, in blocks."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def hit(self, body: Body, minimum: int) -> int:
        """Return how many tokens of the prompt are cached, and remember the prompt."""
        text = "\n".join(text_of(one) for one in body.get("messages", []))
        size = 4 * _BLOCK
        if len(text) < 4 * minimum:
            return 0
        mark, hits, unbroken = 0, 0, True
        for start in range(0, len(text) - size + 1, size):
            mark = hash((mark, text[start : start + size]))
            unbroken = unbroken and mark in self._seen
            hits += unbroken
            self._seen.add(mark)
        return hits * _BLOCK if hits * _BLOCK >= minimum else 0


def complete(body: Body, manner: Manner, asked: int, cached: int) -> dict[str, Any]:
    """Return the completion of a request.

    Args:
        body: the request.
        manner: how the model answers.
        asked: how often the same was asked before, for samples without a seed of their own.
        cached: tokens of the prompt that are said to be cached.
    """
    message = last_user(body)
    texts = texts_of(message, manner.texts)
    choices, spent = [], 0
    for index in range(body.get("n") or 1):
        draw = _draw(body, message, asked, index)
        tokens = _answer(body, Question(texts, message, manner, draw))
        limit = most_tokens(body)
        cut = limit is not None and limit < len(tokens)
        tokens = tokens[:limit] if cut else tokens
        spent += len(tokens)
        choice = _choice(body, tokens, index, manner)
        choices.append(choice | ({"finish_reason": "length"} if cut else {}))
    return {
        "id": "chatcmpl-" + key_of([body.get("model"), asked, message])[:24],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", ""),
        "choices": choices,
        "system_fingerprint": "fp_overlap",
        "usage": usage_of(prompt_tokens(body), spent, cached),
    }


def usage_of(prompt: int, spent: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """Return ``usage``: tokens of the prompt and of the answers."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": spent,
        "total_tokens": prompt + spent,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _draw(body: Body, message: str, asked: int, index: int) -> float:
    """Return where in the distribution to sample, or -1 when the temperature is not above 0."""
    if not body.get("temperature"):
        return -1.0
    return share(message, body.get("seed", asked), index)


def _answer(body: Body, question: Question) -> list[Token]:
    wanted = (question.manner.schemas and body.get("response_format")) or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema", {})
        return tokens_of(fill(schema, question, Place(schema)))
    style = "json" if wanted.get("type") == "json_object" else question.manner.style
    value = question.opinion(question.manner.grades)
    if style == "bare":
        return tokens_of(value)[1:-1] if isinstance(value.said, str) else tokens_of(value)
    if style == "prose":
        reason = " because of the words that they share."
        return [*map(Token, pieces("The score is ")), Token(str(value.said), value),
                *map(Token, pieces(reason))]  # fmt: skip
    tokens = tokens_of({"score": value})
    return [Token("```json\n"), *tokens, Token("\n```")] if style == "fenced" else tokens


def _choice(body: Body, tokens: Sequence[Token], index: int, manner: Manner) -> dict[str, Any]:
    content = "".join(token.text for token in tokens)
    wanted = manner.logprobs and body.get("logprobs")
    return {
        "index": index,
        "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
        "logprobs": logprobs_of(tokens, body.get("top_logprobs") or 0) if wanted else None,
        "finish_reason": "stop",
    }
