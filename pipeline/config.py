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
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.errors import ConfigError, InputError

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CollectSettings(Section):
    """Where the text comes from."""

    source: str = Field("python_docs", description="a name in pipeline.sources.SOURCES")
    path: str = Field("", description="file, folder or glob, for sources that read files")
    text_column: str = Field("text", description="column that holds the text, for tables")
    licence: str = Field("", description="licence of the text, kept on every document")


class CleanSettings(Section):
    """What is dropped or changed before anything is paired, and how documents are split."""

    min_words: int = Field(4, ge=1)
    max_symbols: Fraction = Field(0.35, description="largest share of non-letters in a text")
    near_duplicate: Fraction = Field(0.8, description="Jaccard similarity of word 3-grams")
    mask_personal_data: bool = True
    test_fraction: Fraction = Field(0.3, description="share of documents held out for evaluation")
    seed: int = 13


class MineSettings(Section):
    """Which pairs are worth asking an annotator about."""

    pairs: int = Field(800, ge=10)
    shares: dict[str, Fraction] = Field(
        default_factory=lambda: {
            "same_document": 0.3,
            "dense": 0.25,
            "lexical": 0.25,
            "random": 0.2,
        },
        description="share of the pairs by strategy",
    )
    texts: int = Field(1_000, ge=10, description="train documents that pairs are drawn from")
    max_words: int = Field(30, ge=4, description="longest text of a pair, in whole sentences")
    seed: int = 13


class LabelSettings(Section):
    """Who scores the pairs."""

    annotators: tuple[str, ...] = Field(
        ("likelihood", "char_tfidf", "frozen_encoder"), min_length=1
    )
    prompt: str = Field(
        "likelihood-other-words.v1", description="prompt of the likelihood annotator"
    )


class CurateSettings(Section):
    """How opinions become labels."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="by annotator, else 1"
    )


class EncoderSettings(Section):
    """The backbone and how a text becomes a vector."""

    backbone: str = Field("smollm2-135m-instruct", description="built-in name, folder or Hub name")
    revision: str = Field("", description="commit of a Hub name")
    template: str = 'Summarize sentence "{text}" in one word:"'
    pooling: Literal["last", "mean"] = "last"
    max_length: int = Field(96, ge=8, description="tokens of the text, template not counted")


class TrainSettings(Section):
    """LoRA and the AnglE objectives."""

    epochs: float = Field(1.5, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    batch_pairs: int = Field(32, ge=2)
    chunk_tokens: int = Field(512, ge=64, description="tokens run at a time; for speed alone")
    warmup: Fraction = 0.1
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: Fraction = 0.0
    lora_depth: float = Field(1 / 3, gt=0, le=1, description="share of the layers, from the top")
    lora_targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    cosine_weight: float = Field(1.0, ge=0)
    in_batch_weight: float = Field(0.5, ge=0)
    angle_weight: float = Field(0.02, ge=0)
    cosine_temperature: float = Field(0.05, gt=0)
    in_batch_temperature: float = Field(0.05, gt=0)
    angle_temperature: float = Field(1.0, gt=0)
    positive_threshold: Fraction = Field(0.9, description="labels at or above it are positives")
    evaluations: int = Field(3, ge=1, description="times the dev pairs are scored while training")
    patience: int = Field(3, ge=1, description="evaluations without a gain before stopping")
    seed: int = 13


class EvaluateSettings(Section):
    """What the adapted model is held against."""

    gold: str = Field("", description="CSV of sentence1, sentence2, score, split; empty: none")
    max_score: float = Field(5.0, gt=0, description="the score that means same meaning")
    retrieval_texts: int = Field(1_000, ge=10)
    retrieval_queries: int = Field(400, ge=10)
    resamples: int = Field(10_000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    allowed_loss: float = Field(0.02, ge=0, description="loss on retrieval that still ships")
    seed: int = 13


class ScheduleSettings(Section):
    """When the domain's deployment runs."""

    cron: str = Field("0 3 * * 1", description="five fields, UTC")
    active: bool = False


class DomainConfig(Section):
    """Everything one domain needs, from text to published model."""

    domain: DomainName
    description: str = ""
    collect: CollectSettings = CollectSettings()
    clean: CleanSettings = CleanSettings()
    mine: MineSettings = MineSettings()
    label: LabelSettings = LabelSettings()
    curate: CurateSettings = CurateSettings()
    encoder: EncoderSettings = EncoderSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
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
    return parse(_overridden(loaded, overrides), str(path))


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


def _overridden(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
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
    model: type[BaseModel] = DomainConfig
    for section in sections:
        field = model.model_fields.get(section)
        if field is None or not _is_section(field.annotation):
            return ()
        model = typing.cast("type[BaseModel]", field.annotation)
    return model.model_fields


def _is_section(annotation: Any) -> bool:  # noqa: ANN401 - an annotation may be anything
    return (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, Section)
    )


def setting_names() -> list[str]:
    """Return the dotted name of every setting."""
    names = []
    for name, field in DomainConfig.model_fields.items():
        if _is_section(field.annotation):
            names += [f"{name}.{inner}" for inner in _known((name,))]
        else:
            names.append(name)
    return names


CHECKOUT: Final = Path(__file__).resolve().parents[1]


def resolve(path: str) -> Path:
    """Return where ``path`` of a domain file is: as given, else relative to the checkout."""
    given = Path(path).expanduser()
    return given if given.is_absolute() or given.exists() else CHECKOUT / given
