"""A value that fits a JSON schema, in which grades are opinions and texts are made of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.endpoint.model import GRADES, Manner, Opinion, opinion, share

Schema = Mapping[str, Any]
_POSITIONS: Final = frozenset({"id", "index", "item", "number", "pair", "pair_id", "position"})
_CERTAINTIES: Final = frozenset({"confidence", "probability", "certainty"})


class Question(NamedTuple):
    """What is asked: the texts (two for each item) and how the model answers."""

    texts: Sequence[str]
    message: str
    manner: Manner
    draw: float = -1.0  # the place of a sample in [0, 1), negative for the likeliest grade

    def item(self, number: int) -> Sequence[str]:
        """Return the texts of item ``number``; the whole message when it has none."""
        found = self.texts[2 * number : 2 * number + 2]
        return found if len(found) == 2 else [f"{number}: {self.message}"]

    def opinion(self, grades: Sequence[Any], number: int = 0) -> Opinion:
        """Return the opinion about item ``number``."""
        return opinion(self.item(number), grades, self.manner, self.draw)


class Place(NamedTuple):
    """Where in the schema a value is wanted, and about which item."""

    root: Schema
    name: str = ""
    item: int = 0


def fill(schema: Schema, question: Question, place: Place) -> Any:
    """Return a value that fits the schema; `Opinion` stands for each grade."""
    schema = _resolved(schema, place.root)
    if "const" in schema:
        return schema["const"]
    if place.name in _POSITIONS and not isinstance(schema.get("type"), list):
        return _position(schema, question, place)
    if "enum" in schema:
        return question.opinion(schema["enum"], place.item)
    kind = schema.get("type", "object")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    return _KINDS[kind](schema, question, place)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            options = [one for one in schema[choice] if one.get("type") != "null"]
            return _resolved(options[0], root)
    return schema


def _position(schema: Schema, question: Question, place: Place) -> Any:
    if "enum" in schema:
        return schema["enum"][min(place.item, len(schema["enum"]) - 1)]
    number = place.item + question.manner.first_item
    return str(number) if schema.get("type") == "string" else number


def _object(schema: Schema, question: Question, place: Place) -> Any:
    return {
        name: fill(inner, question, _inside(place, name))
        for name, inner in schema.get("properties", {}).items()
    }


def _inside(place: Place, name: str) -> Place:
    """A number as a name is that of an item."""
    item = int(name) - 1 if name.isdecimal() else place.item
    return place._replace(name=name, item=item)


def _array(schema: Schema, question: Question, place: Place) -> Any:
    count = max(len(question.texts) // 2, 1)
    count = min(max(count, schema.get("minItems", 0)), schema.get("maxItems", count))
    inner = schema.get("items", {"type": "integer"})
    return [fill(inner, question, place._replace(item=item)) for item in range(count)]


def _integer(schema: Schema, question: Question, place: Place) -> Any:
    low, high = schema.get("minimum", GRADES[0]), schema.get("maximum", GRADES[-1])
    return question.opinion(range(int(low), int(high) + 1), place.item)


def _number(schema: Schema, question: Question, place: Place) -> Any:
    if place.name not in _CERTAINTIES:
        return _integer(schema, question, place)
    held = max(question.opinion(question.manner.grades, place.item).chances)
    return round(held * schema.get("maximum", 1), 2)


def _string(schema: Schema, question: Question, place: Place) -> Any:
    """Return the words of the item's first text in an order that depends on the place."""
    del schema
    words = question.item(place.item)[0].split()[:24]
    return " ".join(sorted(words, key=lambda word: share(word, place.name, place.item)))


def _boolean(schema: Schema, question: Question, place: Place) -> Any:
    del schema
    return question.opinion((0, 1), place.item).chosen == 1


def _null(schema: Schema, question: Question, place: Place) -> Any:
    del schema, question, place


_KINDS: Final[dict[str, Callable[[Schema, Question, Place], Any]]] = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "boolean": _boolean,
    "null": _null,
}
