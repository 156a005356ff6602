"""From a reply to a value: one entry of ``OUTPUTS`` for each kind of reply a prompt may ask for.

A reply is read as a whole or not at all. What does not fit gets a reason and is never mended or
guessed: a number picked from a sentence would be a label that nobody gave.

Where the endpoint sent log-probabilities, the value is the expected grade over the likeliest tokens
in the place of the grade that was said (G-Eval, Liu et al. 2023, section 2), with grades on a scale
of 0 to 1. With m the probability of all K grades together and p that of each, divided by m:

* value = Σ p·grade; spread = the standard deviation of the grade, at most 0.5;
* confidence = m·(1 - H(p)/log K), H being the entropy: 1 when one grade has it all;
* no value when m is under ``LEAST_MASS``: the model was about to say something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from pipeline.annotation import schemas
from pipeline.chat import replies
from pipeline.chat.replies import Reply, TokenLogprob, UnreadableError
from pipeline.prompts import Prompt

LEAST_MASS: Final = 0.5
ROUNDING: Final = 0.1  # probabilities that a model states may miss their sum by this share
MOST_PAIRS: Final = 20  # of a request
_SHORT: Final = 80  # characters of a reply that is a grade and the words around it


class Parsed(NamedTuple):
    """A value in [0, 1].

    ``confidence`` in [0, 1] and ``spread`` in [0, 0.5] are None where the reply does not tell.
    """

    value: float
    confidence: float | None = None
    spread: float | None = None


class Written(NamedTuple):
    """Texts that a model wrote; ``levels``, in [0, 1] and falling, where levels were asked for."""

    texts: tuple[str, ...]
    levels: tuple[float, ...] = ()


class Unreadable(NamedTuple):
    """Why a reply has no value, in a word, and whether asking again may help."""

    reason: str
    repairable: bool = True


class Scores(NamedTuple):
    """Values of several pairs, in their order; for each that has none, why."""

    each: tuple[Parsed | Unreadable, ...]


NO_MASS: Final = Unreadable("no_mass_on_grades", repairable=False)
Result = Parsed | Written | Scores | Unreadable


class Output(NamedTuple):
    """How a kind of reply is asked for and read.

    ``schema`` gives OpenAI's ``response_format`` for so many pairs, or None where the reply is no
    JSON; ``form`` says what is wanted; ``max_tokens`` is enough for a pair's reply without
    reasoning; ``uses_logprobs`` is whether log-probabilities give a finer value.
    """

    schema: Callable[[Prompt, int], schemas.Schema | None]
    reader: Callable[[Reply, Prompt], Result]
    form: str
    max_tokens: int
    uses_logprobs: bool = False

    def parse(self, reply: Reply, prompt: Prompt) -> Result:
        """Return what the reply says; never raises."""
        try:
            return self.reader(reply, prompt)
        except UnreadableError as error:
            return Unreadable(str(error))


_NUMBERS: Final = frozenset(str(number) for number in range(1, MOST_PAIRS + 1))
_ANSWERS: Final = {"no": 0.0, "否": 0.0, "yes": 1.0, "是": 1.0}
_AROUND: Final = "\"'`*_.,:{}[] \t\r\n。：▁Ġ"  # noqa: RUF001 - what shares a token with a grade
_LEAD: Final = (
    r"[\s*_\"'`]*(?:(?:the|my|final|overall|score|grade|rating|answer|is|评分|分数|得分|等级|答案|为)"
    r"[\s*_:：=]*){0,5}"  # noqa: RUF001
)
_TRAIL: Final = r"[\s*_\"'`.。]*"
_BARE: Final = {
    "score": re.compile(
        rf"{_LEAD}(?P<name>[0-9]{{1,3}})(?:\.0)?(?:\s*(?:/|out of)\s*(?P<of>[0-9]{{1,3}}))?"
        rf"\s*分?{_TRAIL}",
        re.IGNORECASE,
    ),
    "answer": re.compile(rf"{_LEAD}(?P<name>yes|no|是|否)(?P<of>){_TRAIL}", re.IGNORECASE),
}
_CANDIDATE: Final = {
    "score": re.compile(r"-?[0-9]+(?:[.,][0-9]+)?"),
    "answer": re.compile(r"\b(?:yes|no)\b|是|否"),
}


def _score(reply: Reply, prompt: Prompt) -> Result:
    return _graded(reply, "score", schemas.grades(prompt))


def _scores(reply: Reply, prompt: Prompt) -> Result:
    """Read a grade for each number from 1 on; those that the answer leaves out have none."""
    whole = replies.json_of(replies.answer_of(reply.text))
    if not isinstance(whole, dict) or not whole:
        raise UnreadableError("wrong_shape")
    if not all(name in _NUMBERS for name in whole):
        raise UnreadableError("wrong_shape")
    places, largest = schemas.grades(prompt), max(map(int, whole))
    return Scores(tuple(_one_of(reply, str(number), places) for number in range(1, largest + 1)))


def _one_of(reply: Reply, number: str, places: Mapping[str, float]) -> Parsed | Unreadable:
    try:
        return _graded(reply, number, places)
    except UnreadableError as error:
        return Unreadable(str(error), repairable=False)


def _yes_no(reply: Reply, _: Prompt) -> Result:
    return _graded(reply, "answer", _ANSWERS)


def _graded(reply: Reply, key: str, places: Mapping[str, float]) -> Parsed | Unreadable:
    answer = replies.answer_of(reply.text)
    find = _field if answer.startswith("{") else _bare
    name, position = find(answer, key, places)
    if name not in places:
        raise UnreadableError(_why(name, key, places))
    token = replies.token_at(reply.tokens, answer, position)
    # "1" may begin "10": what a token stands for is clear on scales of one digit only.
    if token is None or "10" in places or _place(token.token, places) != places[name]:
        return Parsed(places[name])
    if not token.top:
        return Parsed(places[name], math.exp(token.logprob))
    return _expected_grade(token, places)


def _field(answer: str, key: str, _: Mapping[str, float]) -> tuple[str, int]:
    """Return the value at ``key`` of a JSON object as a name, and where in the answer it starts."""
    whole = replies.json_of(answer)
    found = list(re.finditer(rf'"{key}"\s*:\s*"?', answer))
    if len(found) > 1:
        raise UnreadableError("several_grades")
    if not found or key not in whole:
        raise UnreadableError("wrong_shape")
    value = whole[key]
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value).strip().casefold(), found[0].end()


def _bare(answer: str, key: str, places: Mapping[str, float]) -> tuple[str, int]:
    """Return the grade that is all the answer says, and where it starts."""
    match = _BARE[key].fullmatch(answer) if len(answer) <= _SHORT else None
    if match is None or (match["of"] and match["of"] != list(places)[-1]):
        raise UnreadableError(_why(answer, key, places))
    return match["name"].casefold(), match.start("name")


def _why(text: str, key: str, places: Mapping[str, float]) -> str:
    found = set(_CANDIDATE.get(key, _CANDIDATE["score"]).findall(text.casefold()))
    if len(found) != 1:
        return "several_grades" if found else "no_grade"
    (only,) = found
    if only in places:
        return "not_alone"
    return "out_of_scale" if only.lstrip("-").isdigit() else "not_a_grade"


def _place(token: str, places: Mapping[str, float]) -> float | None:
    return places.get(token.strip(_AROUND).casefold())


def _expected_grade(token: TokenLogprob, places: Mapping[str, float]) -> Parsed | Unreadable:
    weights: dict[float, float] = {}
    for text, logprob in {**dict(token.top), token.token: token.logprob}.items():
        place = _place(text, places)
        if place is not None:
            weights[place] = weights.get(place, 0.0) + math.exp(logprob)
    mass = sum(weights.values())
    if mass < LEAST_MASS:
        return NO_MASS
    return _expected(weights, mass, len(set(places.values())))


def _expected(weights: Mapping[float, float], mass: float, grades: int) -> Parsed:
    total = sum(weights.values())
    chances = {place: weight / total for place, weight in weights.items() if weight > 0}
    value = sum(place * chance for place, chance in chances.items())
    variance = sum(chance * (place - value) ** 2 for place, chance in chances.items())
    entropy = -sum(chance * math.log(chance) for chance in chances.values())
    confidence = min(mass, 1.0) * (1.0 - entropy / math.log(grades))
    return Parsed(_within(value), _within(confidence), min(math.sqrt(variance), 0.5))


def _within(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _distribution(reply: Reply, prompt: Prompt) -> Result:
    places, whole = schemas.grades(prompt), replies.json_of(replies.answer_of(reply.text))
    if not isinstance(whole, dict) or whole.keys() != places.keys():
        raise UnreadableError("wrong_shape")
    stated = {places[name]: chance for name, chance in whole.items()}
    # type() and not isinstance(): True is an int.
    if not all(type(one) in (int, float) and 0 <= one <= 100 for one in stated.values()):
        raise UnreadableError("not_a_probability")
    total = sum(stated.values())
    if not any(abs(total / one - 1.0) <= ROUNDING for one in (1, 100)):
        raise UnreadableError("not_a_distribution")
    return _expected(stated, 1.0, len(places))


_QUOTES: Final = ('""', "''", "“”", "‘’", "「」")  # noqa: RUF001 - around an item as a whole


def _texts(reply: Reply, _: Prompt, key: str) -> Result:
    answer = replies.answer_of(reply.text)
    if not answer.startswith(("{", "[")):
        return _written(replies.listed(answer))
    whole = replies.json_of(answer)
    return _written(whole.get(key) if isinstance(whole, dict) else whole)


def _levels(reply: Reply, prompt: Prompt) -> Result:
    places, answer = schemas.grades(prompt), replies.answer_of(reply.text)
    whole = replies.json_of(answer) if answer.startswith("{") else replies.levelled(answer, places)
    if whole.keys() != places.keys():
        raise UnreadableError("wrong_levels")
    falling = list(reversed(places))
    return _written([whole[name] for name in falling], tuple(places[name] for name in falling))


def _written(found: object, levels: tuple[float, ...] = ()) -> Written:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise UnreadableError("wrong_shape")
    texts = tuple(_unquoted(text.strip()) for text in found)
    if not texts or not all(texts):
        raise UnreadableError("no_texts")
    return Written(texts, levels)


def _unquoted(text: str) -> str:
    storable = text.encode("utf-8", "replace").decode()
    return storable[1:-1].strip() if storable[:1] + storable[-1:] in _QUOTES else storable


OUTPUTS: Final[dict[str, Output]] = {
    "score": Output(
        schemas.of_score, _score, 'a JSON object {"score": n} in which n is one of the grades', 24,
        uses_logprobs=True,
    ),
    "scores": Output(
        schemas.of_scores, _scores, "a JSON object with each pair's grade by its number", 12,
        uses_logprobs=True,
    ),
    "digit": Output(schemas.none, _score, "one digit, the grade", 4, uses_logprobs=True),
    "distribution": Output(
        partial(schemas.of_grades, kind="number"), _distribution,
        "a JSON object with the probability of each grade, the grades being its keys", 128,
    ),
    "yes_no": Output(
        schemas.of_answer, _yes_no, 'a JSON object {"answer": "yes"} or {"answer": "no"}', 16,
        uses_logprobs=True,
    ),
    "sentences": Output(
        partial(schemas.of_texts, key="sentences"), partial(_texts, key="sentences"),
        "a numbered list with one sentence on each line", 512,
    ),
    "graded_sentences": Output(
        partial(schemas.of_grades, kind="string"), _levels,
        "a JSON object with one text for each level, the levels being its keys", 768,
    ),
    "queries": Output(
        partial(schemas.of_texts, key="queries"), partial(_texts, key="queries"),
        "a numbered list with one query on each line", 256,
    ),
}  # fmt: skip
