"""The pipeline as data: which stage reads what, and when its earlier result still holds.

A stage is a plain function ``run(inputs, config, store) -> Reference``. What may change its output
is written down here: the sections of the configuration it reads, the stages it reads from, and the
things outside (text, gold file, backbone, prompt) whose identity it depends on. A stage is given a
configuration in which every other section is at its default, so it cannot depend on more.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pipeline import gold, memory, prompts, registered, sources
from pipeline.annotation import human
from pipeline.artifacts import PARTIAL, IndexEntry, Reference, Store, stage_key
from pipeline.config import DomainConfig
from pipeline.encoder import backbone, known
from pipeline.encoder.spec import VECTORS_VERSION, EncoderSpec
from pipeline.settings import home

log = logging.getLogger(__name__)

Inputs = Mapping[str, Reference]


class Stage(NamedTuple):
    """One step of the pipeline; ``version`` goes up when its code changes its output.

    ``beside`` are stages and ``rules`` sections that it checks its inputs by before it starts, and
    that change nothing in its output: it reads them, and they are not in its key.
    """

    name: str
    version: int
    entry: str
    sections: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    externals: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


STAGES: Final[dict[str, Stage]] = {
    stage.name: stage
    for stage in (
        Stage("collect", 2, "pipeline.sources.stage", ("collect",), (), ("source",)),
        Stage("clean", 3, "pipeline.cleaning.stage", ("clean",), ("collect",),
              ("gold", "meaning")),
        Stage("mine", 4, "pipeline.mining.stage", ("mine", "encoder", "leakage"), ("clean",),
              ("backbone", "gold")),
        Stage("label", 2, "pipeline.annotation.stage", ("label", "chat", "encoder"), ("mine",),
              ("backbone", "likelihood", "prompt", "gold", "human")),
        Stage("curate", 3, "pipeline.curation.stage", ("curate", "leakage"),
              ("clean", "mine", "label"), ("gold",)),
        Stage("train", 3, "pipeline.training.stage", ("train", "encoder"), ("curate",),
              ("gold", "backbone"), ("clean",), ("leakage", "allow_leakage")),
        Stage("evaluate", 5, "pipeline.evaluation.stage",
              ("evaluate", "encoder", "leakage", "allow_leakage"),
              ("clean", "curate", "train"), ("gold", "backbone", "registered", "against")),
        Stage("publish", 4, "pipeline.export.stage", ("domain", "description", "collect"),
              ("clean", "mine", "label", "curate", "train", "evaluate"), ()),
    )
}  # fmt: skip


def _backbone(config: DomainConfig) -> object:
    return [
        VECTORS_VERSION,
        backbone.identity(config.encoder.backbone, config.encoder.revision),
        EncoderSpec.of(config.encoder).model_dump(),  # with what the model was made for
    ]


def _language_model(config: DomainConfig) -> object:
    name, revision = known.language_model(config.encoder.backbone, config.encoder.revision)
    return backbone.identity(name, revision) if "likelihood" in config.label.annotators else ""


# Stages that only some runs have.
FURTHER: Final[dict[str, Stage]] = {
    "mine_again": Stage("mine_again", 3, "pipeline.mining.rounds", ("mine", "encoder", "leakage"),
                        ("clean", "mine", "curate", "train"), ("backbone", "gold")),
    "score": Stage("score", 1, "pipeline.trials.scores", ("encoder",), ("train",),
                   ("gold", "registered", "backbone")),
}  # fmt: skip

# What a round is made of; after the first, a round begins with "mine_again".
ROUND: Final = ("mine", "label", "curate", "train", "evaluate")
FIRST: Final = " 1"  # ends the names of the steps of a round that another follows

# What lies outside the store, by the function that returns its identity as JSON-like data.
EXTERNALS: Final[dict[str, Callable[[DomainConfig], object]]] = {
    "source": sources.identity,
    "gold": gold.identity,
    "backbone": _backbone,
    "likelihood": _language_model,
    "meaning": lambda config: _backbone(config) if config.clean.semantic_duplicate else "",
    "registered": registered.identity,
    "against": lambda config: [backbone.identity(name, "") for name in config.evaluate.against],
    "human": lambda config: human.identity(home()) if "human" in config.label.annotators else "",
    "prompt": lambda config: [
        prompts.identity(name)
        for name in [
            config.label.prompt,
            config.label.generate.prompt,
            *(chat.prompt for chat in config.chat.values()),
        ]
    ],
}

# Brings what lies outside up to date before its identity is asked for.
REFRESH: Final[dict[str, Callable[[DomainConfig], None]]] = {"source": sources.refresh}

# Sees whether it can be used before that; for the others their identity tells.
CHECKS: Final[dict[str, Callable[[DomainConfig], None]]] = {"source": sources.check}


class Step(NamedTuple):
    """A stage at its place in a run; ``inputs`` are the steps it reads from, by what it calls them.

    The steps of the last round have the names of their stages: what comes after reads those.
    """

    name: str
    stage: Stage
    inputs: Mapping[str, str]


def steps(rounds: int = 1) -> list[Step]:
    """Return what a run consists of, in order.

    With two rounds the stages from mine to evaluate come twice; those of the first round are named
    "mine 1", "label 1", and so on. Their keys know nothing of rounds, so that equal work is shared.
    """
    plain = [
        Step(name, stage, {role: role for role in (*stage.inputs, *stage.beside)})
        for name, stage in STAGES.items()
    ]
    if rounds == 1:
        return plain
    of_first = {name: f"{name}{FIRST}" for name in ROUND}
    first = [
        Step(of_first[name], stage, {role: of_first.get(role, role) for role in inputs})
        for name, stage, inputs in plain
        if name in ROUND
    ]
    again = FURTHER["mine_again"]
    inputs = {role: of_first.get(role, role) for role in again.inputs}
    second = [Step("mine", again, inputs) if step.name == "mine" else step for step in plain]
    place = next(place for place, step in enumerate(second) if step.name in ROUND)
    return [*second[:place], *first, *second[place:]]


def stage_named(name: str) -> Stage:
    """Return a stage by its name."""
    return STAGES.get(name) or FURTHER[name]


class Outcome(NamedTuple):
    """What running a stage came to; ``partial`` says in words what is missing, if anything is."""

    entry: IndexEntry
    cached: bool
    partial: str = ""


def refresh(stage: Stage, config: DomainConfig) -> None:
    """Fetch what has changed of what lies outside, before the key of ``stage`` is asked for."""
    for name in stage.externals:
        if name in REFRESH:
            REFRESH[name](config)


def check(config: DomainConfig) -> None:
    """See that everything outside the store which ``config`` names is there, or can be fetched.

    Raises:
        AngleAdaptError: what is wrong and where.
    """
    externals = {name for stage in STAGES.values() for name in stage.externals}
    for name in sorted(externals):
        CHECKS.get(name, EXTERNALS[name])(config)


def key_of(stage: Stage, inputs: Inputs, config: DomainConfig) -> str:
    """Return the cache key of ``stage``: changes exactly when its output may change.

    Raises:
        InputError: when something outside the store that the stage reads is not there.
    """
    return stage_key(
        stage.name,
        stage.version,
        settings={section: getattr(config, section) for section in stage.sections},
        inputs={name: inputs[name] for name in stage.inputs},
        externals={name: EXTERNALS[name](config) for name in stage.externals},
    )


def materialise(stage: Stage, inputs: Inputs, config: DomainConfig, store: Store) -> Outcome:
    """Return the finished stage: as found in the store, else computed now and recorded.

    Two processes that need the same result compute it once: the second waits for the first. A
    result that is partial is passed on, and not recorded: running again may complete it.
    """
    key = key_of(stage, inputs, config)
    with store.lock(key):
        if entry := store.lookup(key):
            log.info(
                "%s: nothing changed, %s rows from the store", stage.name, entry.reference.rows
            )
            return Outcome(entry, cached=True)
        log.info("%s: running", stage.name)
        start = time.perf_counter()
        run = importlib.import_module(stage.entry).run
        own = {name: inputs[name] for name in (*stage.inputs, *stage.beside)}
        reference: Reference = run(own, only(config, stage), store)
        memory.give_back()
        seconds = time.perf_counter() - start
        entry = IndexEntry(key=key, stage=stage.name, reference=reference, seconds=seconds)
        partial = str(store.json(reference).get(PARTIAL, ""))
        if not partial:
            store.record(entry)
        log.info("%s: %s rows in %.1f s", stage.name, reference.rows, seconds)
        return Outcome(entry, cached=False, partial=partial)


def only(config: DomainConfig, stage: Stage) -> DomainConfig:
    """Return ``config`` with every section that ``stage`` does not declare at its default.

    The places of the gold file and of other sets that measure are kept for stages that declare the
    gold set, and the encoder for one that looks at meanings: what decides the output is in the key.
    """
    sections = {*stage.sections, *stage.rules, "domain"}
    kept = {section: getattr(config, section) for section in sections}
    if "meaning" in stage.externals and config.clean.semantic_duplicate:
        kept["encoder"] = config.encoder
    if "gold" in stage.externals and "evaluate" not in kept:
        defaults = DomainConfig(domain=config.domain).evaluate
        names = ("gold", "max_score", "general", "sets")
        place = {name: getattr(config.evaluate, name) for name in names}
        kept["evaluate"] = defaults.model_copy(update=place)
    return DomainConfig(**kept)
