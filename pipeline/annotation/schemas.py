"""The JSON that a reply shall be, as OpenAI's ``response_format``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.prompts import Prompt

Schema = dict[str, Any]


def grades(prompt: Prompt) -> dict[str, float]:
    """Return the place in [0, 1] of each grade, lowest first, by its name: "0" to "5"."""
    low, high = prompt.scale or (0, 1)
    return {str(grade): (grade - low) / (high - low) for grade in range(low, high + 1)}


def _schema(fields: Mapping[str, Schema]) -> Schema:
    shape = {"type": "object", "properties": dict(fields), "required": list(fields)}
    strict = {"name": "answer", "strict": True, "schema": shape | {"additionalProperties": False}}
    return {"type": "json_schema", "json_schema": strict}


def none(*_: object) -> None:
    """Return nothing: the reply is no JSON."""
    return None


def of_grades(prompt: Prompt, _: int, kind: str) -> Schema:
    """Return the schema of an object with a value for each grade."""
    return _schema({name: {"type": kind} for name in grades(prompt)})


def of_texts(_: Prompt, __: int, key: str) -> Schema:
    """Return the schema of a list of texts at ``key``."""
    return _schema({key: {"type": "array", "items": {"type": "string"}}})


def of_score(prompt: Prompt, _: int) -> Schema:
    """Return the schema of one grade."""
    return _schema({"score": _grade(prompt)})


def of_scores(prompt: Prompt, pairs: int) -> Schema:
    """Return the schema of a grade for each of so many pairs."""
    return _schema({str(number): _grade(prompt) for number in range(1, pairs + 1)})


def _grade(prompt: Prompt) -> Schema:
    return {"type": "integer", "enum": [int(name) for name in grades(prompt)]}


def of_answer(_: Prompt, __: int) -> Schema:
    """Return the schema of yes or no."""
    return _schema({"answer": {"type": "string", "enum": ["yes", "no"]}})
