"""One validated configuration per domain: data, never code.

A domain file is YAML. Every setting has a default, a type and a range; an unknown one is an error
that names the nearest valid one. Paths in a domain file are relative to the file's checkout (the
folder that holds ``data/``) or to the working directory.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import ConfigError, InputError
from pipeline.sections import (
    ChatSettings,
    CleanSettings,
    CollectSettings,
    CurateSettings,
    DomainName,
    EncoderSettings,
    EndpointName,
    EvaluateSettings,
    LabelSettings,
    LeakageSettings,
    MineSettings,
    ScheduleSettings,
    Section,
    TrainSettings,
)


class DomainConfig(Section):
    """Everything one domain needs, from text to published model."""

    domain: DomainName
    description: str = ""
    collect: CollectSettings = CollectSettings()
    clean: CleanSettings = CleanSettings()
    mine: MineSettings = MineSettings()
    chat: dict[EndpointName, ChatSettings] = Field({}, description="chat models by a name of yours")
    label: LabelSettings = LabelSettings()
    curate: CurateSettings = CurateSettings()
    encoder: EncoderSettings = EncoderSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    leakage: LeakageSettings = LeakageSettings()
    allow_leakage: bool = Field(
        default=False, description="go on when text that measures was trained on, and say so"
    )
    schedule: ScheduleSettings = ScheduleSettings()


def load(path: Path, overrides: Iterable[str] = ()) -> DomainConfig:
    """Return the configuration in ``path`` with ``overrides`` ("train.epochs=1") applied.

    Raises:
        InputError: when the file cannot be read.
        ConfigError: when it is not YAML, or holds an unknown or invalid setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"cannot read the domain file {path}: {reason}"
        raise InputError(message) from error
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "not YAML"
        message = f"{path}{line}: {problem}"
        raise ConfigError(message) from error
    if not isinstance(loaded, dict):
        message = f"{path}: a domain file is a mapping that starts with 'domain: NAME'"
        raise ConfigError(message)
    return parse(overridden(loaded, overrides), str(path))


def parse(values: Mapping[str, Any], where: str = "configuration") -> DomainConfig:
    """Return ``values`` as a checked configuration.

    Raises:
        ConfigError: names every unknown or invalid setting, and the nearest valid name.
    """
    try:
        return DomainConfig.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        message = f"{where}: {problems}"
        raise ConfigError(message) from error


def overridden(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return ``values`` with every "section.setting=value" of ``overrides`` put in.

    Raises:
        ConfigError: when an override is not written like that.
    """
    for override in overrides:
        name, separator, text = override.partition("=")
        if not separator or not name.strip():
            message = f"--set {override!r}: write it as section.setting=value"
            raise ConfigError(message)
        target = values
        *sections, last = name.strip().split(".")
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                message = f"--set {override!r}: {section!r} holds no settings"
                raise ConfigError(message)
        target[last] = _scalar(text, override)
    return values


def _scalar(text: str, override: str) -> Any:  # noqa: ANN401 - whatever YAML makes of it
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"--set {override!r}: the value is not YAML"
        raise ConfigError(message) from error
    if isinstance(value, str):  # YAML 1.1 reads 2e-4 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _problem(detail: Mapping[str, Any]) -> str:
    location = tuple(str(part) for part in detail["loc"])
    name = ".".join(location)
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] != "extra_forbidden":
        return f"{name}: {detail['msg']}, not {detail['input']!r}"
    valid = list(_known(location[:-1]))
    nearest = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.4)
    elsewhere = [known for known in setting_names() if known.rpartition(".")[2] == location[-1]]
    if nearest:
        hint = f"did you mean {'.'.join((*location[:-1], nearest[0]))!r}?"
    elif elsewhere:
        hint = f"did you mean {elsewhere[0]!r}?"
    else:
        hint = f"there are {', '.join(sorted(valid))}"
    return f"unknown setting {name!r}; {hint}"


def _known(sections: tuple[str, ...]) -> Iterable[str]:
    """Return the names that may stand in a section, such as ("train",) or ("chat", NAME)."""
    model: type[BaseModel] = DomainConfig
    named = False  # the part before was a table of sections under names of the user's
    for section in sections:
        if named:
            named = False
            continue
        field = model.model_fields.get(section)
        inside = _section_in(field.annotation) if field else None
        if field is None or inside is None:
            return ()
        model, named = inside, inside is not field.annotation
    return () if named else model.model_fields


def _section_in(annotation: Any) -> type[Section] | None:  # noqa: ANN401 - may be anything
    """Return the section that an annotation is, or is a table of by name; else None."""
    for kind in (annotation, *reversed(typing.get_args(annotation))):
        if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
            return kind if issubclass(kind, Section) else None
    return None


def setting_names(section: type[BaseModel] = DomainConfig, prefix: str = "") -> list[str]:
    """Return the dotted name of every setting in ``section``, those of sections in it included."""
    names = []
    for name, field in section.model_fields.items():
        inside = _section_in(field.annotation)
        if inside:
            table = "" if inside is field.annotation else "name."
            names += setting_names(inside, f"{prefix}{name}.{table}")
        else:
            names.append(f"{prefix}{name}")
    return names


CHECKOUT: Final = Path(__file__).resolve().parents[1]
BUILT_IN: Final = "built-in"  # the general gold set that comes with the project


def resolve(path: str) -> Path:
    """Return where ``path`` of a domain file is: as given, else relative to the checkout."""
    given = Path(path).expanduser()
    return given if given.is_absolute() or given.exists() else CHECKOUT / given


def general_file(config: DomainConfig) -> Path | None:
    """Return where the gold file of general text is; None when a domain wants none."""
    name = config.evaluate.general
    if name != BUILT_IN:
        return resolve(name) if name else None
    packaged = Path(__file__).with_name("general_pairs.csv")  # of an installed wheel
    return packaged if packaged.is_file() else CHECKOUT / "data/general/gold_pairs.csv"
