"""Versioned prompt files: ``prompts/NAME.vN.txt``, front matter in YAML and a template in Jinja.

The template is rendered in a sandbox, and a text is only ever a value in it: what a text contains
is never rendered again. A prompt for a chat model has two parts. ``[system]`` holds the rubric and
no variable, so that an endpoint reads it once for all texts; ``[user]`` holds the texts, each
between lines that carry a fence, which is digits that none of the texts contains, and says after
them once more what is asked (Hines et al. 2024, "Spotlighting").
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field, StrictInt, ValidationError

from pipeline.errors import ConfigError
from pipeline.fences import fence, inert
from pipeline.records import Record

FOLDER: Final = Path(__file__).resolve().parents[1] / "prompts"
LARGEST_GRADE: Final = 100

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_ENVIRONMENT.globals.clear()  # a template has its variables and nothing else
_PART: Final = re.compile(r"^\[(system|user)\]\n", re.MULTILINE)

Messages = tuple[dict[str, str], ...]
Pairs = tuple[tuple[str, str], ...]


class Kind(NamedTuple):
    """What the template of a kind of reply uses, and the largest grade its scale may have."""

    needs: frozenset[str]
    may_use: frozenset[str] = frozenset()
    largest: int = 0  # 0: no scale


_PAIR: Final = frozenset({"fence", "text1", "text2"})
_ONE: Final = frozenset({"fence", "text"})

# By the field `output`. How each is read is in `pipeline.annotation.scoring.OUTPUTS`; a text
# without a fence is for a model that continues it.
KINDS: Final[dict[str, Kind]] = {
    "text": Kind(frozenset({"text"})),
    "score": Kind(_PAIR, largest=LARGEST_GRADE),
    "digit": Kind(_PAIR, largest=9),
    "distribution": Kind(_PAIR, largest=9),
    "yes_no": Kind(_PAIR),
    "scores": Kind(frozenset({"fence", "pairs"}), largest=9),
    "sentences": Kind(_ONE, frozenset({"size", "relation"})),
    "graded_sentences": Kind(_ONE, largest=9),
    "queries": Kind(_ONE, frozenset({"size"})),
}


class Prompt(Record):
    """A prompt as its file states it."""

    name: str
    version: int
    task: str
    language: str
    description: str
    template: str
    scale: tuple[StrictInt, StrictInt] | None = Field(None, description="lowest and highest grade")
    output: str = Field("text", description="the kind of reply, a name in KINDS")

    @cached_property
    def identity(self) -> str:
        """The digest of everything the file states; what it does not state is not part of it."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()

    @cached_property
    def parts(self) -> Mapping[str, str]:
        """The template's parts, "system" and "user"; empty where it has none."""
        pieces = _PART.split(self.template + "\n")
        return dict(zip(pieces[1::2], (piece.strip() for piece in pieces[2::2]), strict=True))

    def render(self, **values: str) -> str:
        """Return the template with ``values`` filled in.

        Raises:
            ConfigError: when the template names a variable that is not among ``values``.
        """
        return self._filled(self.template, values)

    def messages(self, **values: str | int | Pairs) -> Messages:
        """Return the messages for a chat model: the system part if there is one, then the user's.

        Args:
            values: what the kind of reply has variables for (`KINDS`), without the fence. Texts
                are made `inert`; equal values give equal messages. ``pairs`` are two texts each.

        Raises:
            ConfigError: when this is no chat prompt, or a value is missing or unknown.
        """
        kind = KINDS[self.output]
        unknown = values.keys() - ((kind.needs | kind.may_use) - {"fence"})
        if unknown or "user" not in self.parts:
            why = f"it has no variable {min(unknown)!r}" if unknown else "it has no [user] part"
            message = f"prompt {self.name}.v{self.version} cannot be sent: {why}"
            raise ConfigError(message)
        texts = {name: inert(text) for name, text in _texts(values)}
        filled = _shaped(values, texts) | {"fence": fence(self.identity, texts)}
        return tuple(
            {"role": role, "content": self._filled(part, filled)}
            for role, part in self.parts.items()
        )

    def _filled(self, template: str, values: Mapping[str, Any]) -> str:
        try:
            return _compiled(template).render(values)
        except TemplateError as error:
            message = f"prompt {self.name}.v{self.version}: {error}"
            raise ConfigError(message) from error


def _texts(values: Mapping[str, str | int | Pairs]) -> Iterator[tuple[str, str]]:
    """Yield every text among the values under a name of its own."""
    for name, value in values.items():
        if isinstance(value, tuple):
            for number, (text1, text2) in enumerate(value):
                yield f"{name} {number} text1", text1
                yield f"{name} {number} text2", text2
        else:
            yield name, str(value)


def _shaped(
    values: Mapping[str, str | int | Pairs], texts: Mapping[str, str]
) -> dict[str, str | list[dict[str, str]]]:
    """Return the values as a template uses them, with their texts as in ``texts``."""
    sides = ("text1", "text2")
    return {
        name: [{side: texts[f"{name} {number} {side}"] for side in sides}
               for number in range(len(value))]
        if isinstance(value, tuple) else texts[name]
        for name, value in values.items()
    }  # fmt: skip


@cache
def load(name: str) -> Prompt:
    """Return the prompt ``name`` ("similarity.v1").

    Raises:
        ConfigError: when there is no such file, or it does not state what a prompt must.
    """
    path, files = FOLDER / f"{name}.txt", sorted(file.stem for file in FOLDER.glob("*.txt"))
    if name not in files:
        message = f"there is no prompt {name!r}; there are {', '.join(files)}"
        raise ConfigError(message)
    try:
        return _checked(_parsed(path.read_text(encoding="utf-8")), name)
    except (ValueError, yaml.YAMLError, TemplateError) as error:
        message = f"{path}: {_reason(error)}"
        raise ConfigError(message) from error


def identity(name: str) -> str:
    """Return the digest of a prompt's wording."""
    return load(name).identity


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)


_FIELDS: Final = tuple(name for name in Prompt.model_fields if name != "template")
_NEEDED: Final = tuple(name for name in _FIELDS if Prompt.model_fields[name].is_required())


def _parsed(content: str) -> Prompt:
    blank, *rest = content.split("---\n", 2)
    front: Any = yaml.safe_load(rest[0]) if len(rest) == 2 and not blank else None
    if not isinstance(front, dict):
        message = "it must begin with front matter (NAME: VALUE) between two lines ---"
        raise ValueError(message)  # noqa: TRY004 - `load` says it as a ConfigError
    for name in map(str, front):
        if name not in _FIELDS:
            raise ValueError(f"the front matter has {name!r}{_nearest(name, _FIELDS)}")
    missing = [name for name in _NEEDED if name not in front]
    if missing:
        message = f"the front matter must state {', '.join(_NEEDED)}; it lacks {missing[0]}"
        raise ValueError(message)
    return Prompt.model_validate({**front, "template": rest[1].rstrip("\n")})


def _checked(prompt: Prompt, name: str) -> Prompt:
    fault = next(filter(None, (check(prompt) for check in _CHECKS)), "")
    if f"{prompt.name}.v{prompt.version}" != name:
        fault = f"the front matter says {prompt.name}.v{prompt.version}; a file is NAME.vN.txt"
    if fault:
        raise ValueError(fault)
    return prompt


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"the front matter's {first['loc'][0]}: {first['msg']}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 2}: {error.problem}"
    where = "the template: " if isinstance(error, TemplateError) else ""
    return where + " ".join(str(error).split())


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _output_fault(prompt: Prompt) -> str:
    known = prompt.output in KINDS
    return "" if known else f"the output is {prompt.output!r}{_nearest(prompt.output, KINDS)}"


def _scale_fault(prompt: Prompt) -> str:
    largest = KINDS[prompt.output].largest
    if (largest > 0) != (prompt.scale is not None):
        need = "needs a scale, as in [0, 5]" if largest else "has no scale"
        return f"the output {prompt.output!r} {need}"
    low, high = prompt.scale or (0, 1)
    if 0 <= low < high <= (largest or 1):
        return ""
    return f"the scale must ascend from 0 or more to at most {largest}; it is [{low}, {high}]"


def _parts_fault(prompt: Prompt) -> str:
    pieces = _PART.split(prompt.template + "\n")
    if prompt.output == "text" or (not pieces[0].strip() and pieces[1::2] in _LAYOUTS):
        return ""
    if "user" not in pieces[1::2]:
        return "it lacks a [user] part: a line [user], and the texts after it"
    return "it must be one [system] part, or none, and then one [user] part, with nothing before"


def _variables_fault(prompt: Prompt) -> str:
    kind, used = KINDS[prompt.output], _variables(prompt.template)
    unknown, unused = used - kind.needs - kind.may_use, kind.needs - used
    fixed = _variables(prompt.parts.get("system", ""))
    if unknown:
        return f"the template uses {min(unknown)!r}{_nearest(min(unknown), kind.needs)}"
    if unused:
        return f"the template must use {min(unused)!r}, and does not"
    return f"[system] is the same for all texts and cannot use {min(fixed)!r}" if fixed else ""


_LAYOUTS: Final = (["user"], ["system", "user"])
_CHECKS: Final[tuple[Callable[[Prompt], str], ...]] = (
    _output_fault, _scale_fault, _parts_fault, _variables_fault,
)  # fmt: skip


def _variables(template: str) -> set[str]:
    _compiled(template)
    return meta.find_undeclared_variables(_ENVIRONMENT.parse(template))
