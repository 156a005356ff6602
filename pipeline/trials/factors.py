"""What can be varied: known names with their usual values, and every setting by its own name."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline import prompts
from pipeline.config import DomainConfig, setting_names
from pipeline.encoder import known
from pipeline.encoder.spec import EncoderSpec
from pipeline.errors import ConfigError

# The weights of the objectives, by the word for each.
WEIGHTS: Final = {
    "cosine": "cosine_weight", "in-batch": "in_batch_weight", "angle": "angle_weight",
}  # fmt: skip
ALL: Final = "all"
OBJECTIVES: Final = (
    "cosine", "in-batch", "angle", "cosine+in-batch", "cosine+angle", "in-batch+angle", ALL,
)  # fmt: skip
RANKS: Final = (4, 8, 16, 32)
# Templates by a word: none at all, AnglE's, and one that asks for a meaning in no number of words.
TEMPLATES: Final = {
    "none": known.PLAIN,
    "one-word": known.ONE_WORD,
    "means": 'This sentence: "{text}" means',
}
LIKELIHOOD: Final = "likelihood"
# What decides how trials are measured may not differ between them.
MEASURING: Final = ("domain", "description", "evaluate", "schedule")


class Level(NamedTuple):
    """One value of a factor: its word, and the settings that it changes, by dotted name."""

    word: str
    changes: Mapping[str, Any]


class Factor(NamedTuple):
    """What can be varied: its usual values beside a configuration, and what each one changes."""

    about: str
    values: Callable[[DomainConfig], Sequence[Any]]
    level: Callable[[DomainConfig, Any], Level]


def levels(name: str, values: Sequence[Any] | None, config: DomainConfig) -> list[Level]:
    """Return the levels of the factor ``name``; without ``values``, the usual ones.

    Raises:
        ConfigError: when there is no such factor or setting, or nothing says what its values are.
    """
    if name in FACTORS:
        factor = FACTORS[name]
        chosen = factor.values(config) if values is None else values
        return [factor.level(config, value) for value in chosen]
    _check_setting(name)
    if values is None:
        message = f"{name} has no usual values: name some, as {name}=VALUE,VALUE"
        raise ConfigError(message)
    return [Level(worded(value), {name: value}) for value in values]


def worded(value: object) -> str:
    """Return a value as it stands in a table."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_name(name: str) -> bool:
    """Return whether ``name`` is a factor or a setting."""
    return name in FACTORS or name in setting_names()


def _check_setting(name: str) -> None:
    settings = setting_names()
    if name.partition(".")[0] in MEASURING:
        message = f"{name} cannot be varied: it would change what a trial is measured by"
        raise ConfigError(message)
    if name == "train.seed":
        message = "train.seed is varied by --seeds, for every trial alike"
        raise ConfigError(message)
    within = any(name.startswith(f"{known_name}.") for known_name in ("chat", *settings))
    if name not in settings and not within:
        nearest = _nearest(name, [*FACTORS, *settings])
        message = f"cannot vary {name!r}: there is no such factor or setting; {nearest}"
        raise ConfigError(message)


def _nearest(name: str, valid: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    ends = [one for one in valid if one.rpartition(".")[2] == name]
    if found or ends:
        return f"did you mean {(found or ends)[0]!r}?"
    return f"there are {', '.join(FACTORS)}, and every section.setting"


def _one_of(name: str, value: object, valid: Sequence[str]) -> str:
    if value not in valid:
        found = difflib.get_close_matches(str(value), valid, n=1, cutoff=0.4)
        hint = f"did you mean {found[0]!r}?" if found else f"there are {', '.join(valid)}"
        message = f"{name}={value}: there is no such {name}; {hint}"
        raise ConfigError(message)
    return str(value)


def _setting(name: str) -> Callable[[DomainConfig, Any], Level]:
    return lambda _, value: Level(worded(value), {name: value})


def _objective(config: DomainConfig, value: object) -> Level:
    """Leave the weights of the named objectives as they are, at 1 where that is 0; others are 0."""
    word = _one_of("objective", value, OBJECTIVES)
    kept = set(WEIGHTS if word == ALL else word.split("+"))
    own = _own_weights(config)
    changes = {
        f"train.{name}": 1.0 if objective in kept else 0.0
        for objective, name in WEIGHTS.items()
        if (objective in kept) != (own[name] > 0)
    }
    return Level(word, changes)


def _own_weights(config: DomainConfig) -> dict[str, float]:
    from pipeline.training.presets import PRESETS  # noqa: PLC0415 - imports torch

    preset = PRESETS[config.train.preset]
    given = {name: getattr(config.train, name) for name in WEIGHTS.values()}
    return {
        name: getattr(preset, name) if value is None else value for name, value in given.items()
    }


def _annotators(config: DomainConfig) -> list[str]:
    """Return who has a say in the labels; one who is asked about some pairs only has none alone."""
    heard = [name for name in config.label.annotators if config.curate.weights.get(name, 1) > 0]
    return [*(name for name in heard if name != "human"), ALL]


def _annotator(config: DomainConfig, value: object) -> Level:
    """Take the say from all others: nobody is asked anew."""
    word = _one_of("annotator", value, _annotators(config))
    if word == ALL:
        return Level(word, {})
    others = [name for name in (*config.label.annotators, config.label.referee) if name]
    weights = {**config.curate.weights, **{name: 0.0 for name in others if name != word}}
    return Level(word, {"curate.weights": weights})


def _poolings(config: DomainConfig) -> tuple[str, ...]:
    own = EncoderSpec.of(config.encoder).pooling
    reads_first = own.startswith("cls")  # a model that sees both ways
    return ("cls", "mean", "cls_mean") if reads_first else ("last", "mean", "weighted_mean")


def _template(_: DomainConfig, value: object) -> Level:
    """Return a template by its word, or as it is."""
    text = TEMPLATES.get(str(value), str(value))
    words = {template: word for word, template in TEMPLATES.items()}
    return Level(words.get(text, text), {"encoder.template": text})


def _prompts(config: DomainConfig) -> list[str]:
    """Return the prompts of the likelihood annotator."""
    if LIKELIHOOD not in config.label.annotators:
        message = "cannot vary prompt: the likelihood annotator is not among label.annotators"
        raise ConfigError(message)
    names = sorted(path.stem for path in prompts.FOLDER.glob("*.txt"))
    return [name for name in names if prompts.load(name).task == LIKELIHOOD]


def _rank(config: DomainConfig, value: object) -> Level:
    """Change the rank and keep alpha / rank, by which what the adapter adds is scaled."""
    word, train = worded(value), config.train
    if not isinstance(value, int) or isinstance(value, bool):
        return Level(word, {"train.lora_rank": value})  # the settings say what is wrong with it
    alpha = max(1, round(train.lora_alpha / train.lora_rank * value))
    return Level(word, {"train.lora_rank": value, "train.lora_alpha": alpha})


def _around(section: str, name: str, times: Sequence[float]) -> Callable[[DomainConfig], list[Any]]:
    """Return the function that multiplies a setting by each of ``times``."""

    def values(config: DomainConfig) -> list[Any]:
        own = getattr(getattr(config, section), name)
        return [own if by == 1 else _times(own, by) for by in times]

    return values


def _times(own: float, by: float) -> float:
    """Return the product: a whole number of a whole number, else to three digits."""
    if isinstance(own, int):
        return max(2, round(own * by))
    return round(own * by, 2 - math.floor(math.log10(own * by)))


def _fixed(*values: Any) -> Callable[[DomainConfig], Sequence[Any]]:  # noqa: ANN401 - any setting's
    return lambda _: values


FACTORS: Final[dict[str, Factor]] = {
    "objective": Factor("each objective alone, by twos, all", _fixed(*OBJECTIVES), _objective),
    "preset": Factor(
        "published settings of the objectives",
        _fixed("default", "paper", "llama-nli", "angle_emb-0.6"),
        _setting("train.preset"),
    ),
    "annotator": Factor("each annotator alone, all", _annotators, _annotator),
    "pooling": Factor("how tokens become one vector", _poolings, _setting("encoder.pooling")),
    "template": Factor("what stands around a text", _fixed(*TEMPLATES), _template),
    "attention": Factor(
        "whether tokens see later ones", _fixed("native", "bidirectional"),
        _setting("encoder.attention"),
    ),
    "prompt": Factor(
        "what the likelihood annotator is asked", _prompts, _setting("label.prompt")
    ),
    "rank": Factor("rank of the adapters, at one alpha / rank", _fixed(*RANKS), _rank),
    "depth": Factor(
        "share of the layers with adapters", _fixed(1 / 3, 2 / 3, 1.0),
        _setting("train.lora_depth"),
    ),
    "learning_rate": Factor(
        "a third of it, itself, three times it",
        _around("train", "learning_rate", (1 / 3, 1, 3)), _setting("train.learning_rate"),
    ),
    "batch": Factor(
        "half of it, itself, twice it", _around("train", "batch_pairs", (0.5, 1, 2)),
        _setting("train.batch_pairs"),
    ),
    "epochs": Factor(
        "half of them, themselves, twice as many", _around("train", "epochs", (0.5, 1, 2)),
        _setting("train.epochs"),
    ),
    "sampler": Factor(
        "how batches are drawn", _fixed("random", "graded"), _setting("train.sampler")
    ),
    "pairs": Factor(
        "half as many mined pairs, as many, twice as many",
        _around("mine", "pairs", (0.5, 1, 2)), _setting("mine.pairs"),
    ),
}  # fmt: skip
