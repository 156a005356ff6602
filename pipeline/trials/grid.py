"""From what is asked for to the trials that are run: one factor at a time, or all combinations."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from pipeline import config as configuration
from pipeline.artifacts import stage_key
from pipeline.config import DomainConfig
from pipeline.encoder.spec import EncoderSpec
from pipeline.errors import AngleAdaptError, ConfigError
from pipeline.records import Record
from pipeline.trials import factors
from pipeline.trials.factors import Level

OWN: Final = "own setting"

_ASSIGNED: Final = re.compile(r"^\s*([A-Za-z_][\w.-]*)\s*=(.*)$", re.DOTALL)

Wanted = dict[str, Sequence[Any] | None]
Make = Callable[[Sequence[str]], DomainConfig]


class Trial(Record):
    """One row: the domain's configuration with some settings changed; ``name`` is for people."""

    name: str
    factor: str = ""
    level: str = ""
    changes: dict[str, Any] = Field(default_factory=dict)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The changes as ``section.setting=value``; JSON is YAML too."""
        return tuple(f"{name}={json.dumps(value)}" for name, value in self.changes.items())


def wanted(vary: Iterable[str], values: Iterable[str] = ()) -> Wanted:
    """Return the factors to vary, each with its values, or None for the usual ones.

    Args:
        vary: "rank,pooling", "rank=4,8", or both in one: "objective,rank=4,8,pooling".
        values: "rank=4,8", of factors that ``vary`` names.

    Raises:
        ConfigError: when nothing is named, a value is not YAML, or ``values`` are of no factor
            that is varied.
    """
    found: Wanted = {}
    for text in vary:
        found |= _parsed(text)
    for text in values:
        given = _parsed(text)
        unknown = [name for name, some in given.items() if name not in found or some is None]
        if unknown:
            message = f"--values {text!r}: write it as NAME=a,b,c, with NAME among --vary"
            raise ConfigError(message)
        found |= given
    if not found:
        message = f"--vary names nothing: there are {', '.join(factors.FACTORS)}"
        raise ConfigError(message)
    return found


def _parsed(text: str) -> Wanted:
    """Read one option; a word after values is a value, unless it is the name of a factor."""
    found: dict[str, list[str] | None] = {}
    last = ""
    for word in _words(text):
        assigned = _ASSIGNED.match(word)
        if assigned:
            last = assigned[1]
            found[last] = [assigned[2]]
        elif last and not factors.is_name(word.strip()):
            (found[last] or []).append(word)
        elif word.strip():
            last = ""
            found[word.strip()] = None
    return {name: _values(name, some) for name, some in found.items()}


def _words(text: str) -> list[str]:
    """Split at commas that are in no bracket or quote."""
    return re.findall(r"(?:\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^,])+", text)


def _values(name: str, words: Sequence[str] | None) -> list[Any] | None:
    if words is None:
        return None
    one = ",".join(words).strip()
    if one.startswith("[") and one.endswith("]"):
        return list(configuration.overridden({}, [f"values={one}"])["values"])
    return [_value(word.strip(), name) for word in words]


def _value(word: str, name: str) -> Any:  # noqa: ANN401 - whatever YAML makes of it
    if not word:
        message = f"{name}: a value is empty; write it as {name}=a,b,c"
        raise ConfigError(message)
    return configuration.overridden({}, [f"value={word}"])["value"]


def trials(own: DomainConfig, asked: Wanted, make: Make, *, full: bool = False) -> list[Trial]:
    """Return the trials, the domain's own setting first, no two of them the same.

    Args:
        own: the domain's configuration.
        asked: as `wanted` returns it.
        make: returns the configuration with overrides applied.
        full: every combination of values, in place of one factor at a time.

    Raises:
        ConfigError: names the factor that is unknown, or the trial whose settings are refused.
    """
    chosen = {name: factors.levels(name, values, own) for name, values in asked.items()}
    seen = {signature(own)}
    found = [Trial(name=OWN)]
    for trial in _crossed(chosen) if full else _alone(chosen):
        key = signature(_made(trial, make))
        if key not in seen:
            seen.add(key)
            found.append(trial)
    if len(found) == 1:
        message = f"nothing to vary: {', '.join(chosen)} has no value but the domain's own"
        raise ConfigError(message)
    return found


def _alone(chosen: Mapping[str, Sequence[Level]]) -> Iterable[Trial]:
    for name, some in chosen.items():
        for level in some:
            yield Trial(
                name=f"{name}={level.word}", factor=name, level=level.word,
                changes=dict(level.changes),
            )  # fmt: skip


def _crossed(chosen: Mapping[str, Sequence[Level]]) -> Iterable[Trial]:
    for combination in itertools.product(*chosen.values()):
        words = {name: one.word for name, one in zip(chosen, combination, strict=True)}
        changes: dict[str, Any] = {}
        for level in combination:
            changes |= level.changes
        name = ", ".join(f"{factor}={word}" for factor, word in words.items())
        yield Trial(name=name, factor=", ".join(words), level=", ".join(words.values()),
                    changes=changes)  # fmt: skip


def _made(trial: Trial, make: Make) -> DomainConfig:
    try:
        config = make(trial.overrides)
        EncoderSpec.of(config.encoder)
    except AngleAdaptError as error:
        message = f"trial {trial.name}: {error}"
        raise ConfigError(message) from error
    return config


def signature(config: DomainConfig) -> str:
    """Return what is equal for configurations that train the same model.

    A pooling, template or attention that is left empty counts as what the backbone was made for.
    """
    values = config.model_dump(mode="json")
    values["encoder"] = EncoderSpec.of(config.encoder).model_dump(mode="json")
    return stage_key("trial", 1, settings=values)
