"""What a set of trials would do and take, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from flows import planning, pricing
from flows.execution import check
from pipeline import config as configuration
from pipeline import gold, graph
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import AngleAdaptError, ConfigError
from pipeline.records import Document
from pipeline.settings import home
from pipeline.trials import scores, work
from pipeline.trials.grid import Trial
from pipeline.trials.work import Job, Keys, Work

LONG_SECONDS: Final = 3_600.0  # more is started only when that is wanted


class Attempt(NamedTuple):
    """One training of a trial: what it is called, what it changes, and what that comes to."""

    name: str
    overrides: tuple[str, ...]
    config: DomainConfig


class Plan(NamedTuple):
    """The attempts, and what they would take; ``usd`` is None where a price is not known."""

    own: DomainConfig
    attempts: tuple[Attempt, ...]
    gold: dict[str, int]
    documents: tuple[Document, ...]
    keys: Keys
    stages: dict[str, int]
    seconds: float
    questions: int = 0
    usd: float | None = 0.0


class Domain(NamedTuple):
    """A domain file, what is set beside it, and what both come to."""

    path: str
    settings: tuple[str, ...]
    config: DomainConfig

    def make(self, overrides: Sequence[str]) -> DomainConfig:
        """Return the configuration with further settings changed."""
        path = configuration.resolve(self.path)
        return configuration.load(path, (*self.settings, *overrides))


def domain(path: str, settings: Sequence[str]) -> Domain:
    """Return a domain, once a gold set and everything else that it names was seen there.

    Raises:
        AngleAdaptError: what is wrong and where.
    """
    config = check(path, settings)
    scores.check(config)
    return Domain(path, tuple(settings), config)


def attempts(given: Domain, trials: Sequence[Trial], seeds: int) -> list[Attempt]:
    """Return every trial with every seed, the seeds of a trial together."""
    found = []
    for trial in trials:
        for seed in range(given.config.train.seed, given.config.train.seed + seeds):
            overrides = (*given.settings, *trial.overrides, f"train.seed={seed}")
            name = f"{trial.name}, seed {seed}" if seeds > 1 else trial.name
            path = configuration.resolve(given.path)
            found.append(Attempt(name, overrides, configuration.load(path, overrides)))
    return found


def plan(own: DomainConfig, given: Sequence[Attempt]) -> Plan:
    """Return what the attempts would take; collects and cleans the text, which is kept.

    Raises:
        ConfigError: names the attempt that cannot be made, and why.
    """
    store, keys = Store(home()), Keys()
    kept = _documents(own, store)
    doing = Work(store, keys)
    jobs = [(attempt, job) for attempt in given for job in _jobs(attempt, doing)]
    pace = _pace(own, kept, doing)
    seconds = sum(_seconds(job, attempt.config, kept) * pace.get(job.step.stage.name, 1.0)
                  for attempt, job in jobs)  # fmt: skip
    labelled = [attempt.config for attempt, job in jobs if job.step.stage.name == "label"]
    asked = [one for config in labelled for one in _asked(config, kept)]
    prices = [one.usd for one in asked]
    return Plan(
        own=own, attempts=tuple(given), gold=scores.check(own), documents=tuple(kept), keys=keys,
        stages=work.counted([job for _, job in jobs]), seconds=seconds,
        questions=sum(one.questions for one in asked),
        usd=None if None in prices else sum(price for price in prices if price is not None),
    )  # fmt: skip


def described(plan: Plan, rows: int) -> str:
    """Return a plan as a few readable lines."""
    stages = ", ".join(f"{name} {count:,}x" for name, count in plan.stages.items())
    pairs = f"{plan.gold['dev']:,} gold dev pairs to choose by, {plan.gold['test']:,} test pairs"
    lines = [
        f"trials       {rows:,}, trained {len(plan.attempts):,} times in all",
        f"measured on  {pairs} to report",
        f"to do        {stages or 'nothing: all of it is in the store'}",
        f"time         about {planning.duration(plan.seconds)}",
    ]
    if plan.questions:
        price = "price not known" if plan.usd is None else f"about ${plan.usd:.2f}"
        lines.append(
            f"chat models  {plan.questions:,} questions, {price} when nothing is in the journal"
        )
    return "\n".join(lines)


def consent(plan: Plan) -> str:
    """Return why somebody has to agree before it is started; empty: nobody has to."""
    if plan.questions:
        return "chat models would be asked"
    if plan.seconds > LONG_SECONDS:
        return f"this takes about {planning.duration(plan.seconds)}"
    return ""


def _jobs(attempt: Attempt, doing: Work) -> list[Job]:
    try:
        return doing.add(attempt.config)
    except AngleAdaptError as error:
        message = f"trial {attempt.name}: {error}"
        raise ConfigError(message) from error


def _documents(config: DomainConfig, store: Store) -> list[Document]:
    """Return the cleaned text, made now where it is not in the store."""
    references: dict[str, Reference] = {}
    for name in ("collect", "clean"):
        if name not in graph.STAGES:
            return []
        graph.refresh(graph.STAGES[name], config)
        outcome = graph.materialise(graph.STAGES[name], references, config, store)
        references[name] = outcome.entry.reference
    return store.rows(references["clean"], Document)


def _pace(own: DomainConfig, kept: Sequence[Document], doing: Work) -> dict[str, float]:
    """Return how much longer stages took here than is planned, where they ran before."""
    took = doing.seconds_of(own)
    planned = planning.stage_seconds(own, kept)
    return {name: seconds / planned[name] for name, seconds in took.items()
            if planned.get(name) and seconds > 0}  # fmt: skip


def _seconds(job: Job, config: DomainConfig, kept: Sequence[Document]) -> float:
    name = {"mine_again": "mine"}.get(job.step.stage.name, job.step.stage.name)
    if name == work.LAST:
        texts = 2 * (len(gold.load(config)) + len(gold.general(config)))
        return texts * config.encoder.max_length / 4 / planning.FORWARD
    times = sum(step.name.split()[0] == name for step in work.steps(config))
    return planning.stage_seconds(config, kept).get(name, 0.0) / max(1, times)


def _asked(config: DomainConfig, kept: Sequence[Document]) -> list[pricing.Asked]:
    dev = sum(pair.split == "dev" for pair in gold.load(config))
    return pricing.asked(config, kept, config.mine.pairs + dev)
