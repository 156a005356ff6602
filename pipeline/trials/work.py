"""What trials would run: the stages that the store does not hold, each counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pipeline import graph
from pipeline.artifacts import IndexEntry, Reference, Store, stage_key
from pipeline.config import DomainConfig
from pipeline.graph import Step

LAST: Final = "score"


class Job(NamedTuple):
    """A step that has to run, under its key."""

    step: Step
    key: str


def steps(config: DomainConfig) -> list[Step]:
    """Return the steps of a trial: all that training needs, and the scoring of gold pairs."""
    whole = {step.name: step for step in graph.steps(config.mine.rounds)}
    needed = {"train"}
    for step in reversed(whole.values()):
        if step.name in needed:
            needed |= set(step.inputs.values())
    scoring = Step(LAST, graph.FURTHER[LAST], {"train": "train"})
    return [*(step for step in whole.values() if step.name in needed), scoring]


class Keys:
    """The keys of stages, asked for once for equal settings and inputs.

    What lies outside the store (text, gold file, backbone) is brought up to date and looked at when
    a key is first asked for, and taken to stay as it is while trials run: they are all made of the
    same text.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, step: Step, inputs: Mapping[str, Reference], config: DomainConfig) -> str:
        """Return the key of a step."""
        mine = {role: inputs[role] for role in step.stage.inputs}
        near = stage_key(
            step.stage.name, step.stage.version, inputs=mine,
            settings=graph.only(config, step.stage).model_dump(mode="json"),
        )  # fmt: skip
        if near not in self._known:
            graph.refresh(step.stage, config)
            self._known[near] = graph.key_of(step.stage, inputs, config)
        return self._known[near]


class Work:
    """What has to run for the trials that were added, each step counted once.

    What a step that has not run will bring is not known. Its key stands in for it: two trials that
    need the same step need it once.
    """

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._entries: dict[str, IndexEntry | None] = {}

    def add(self, config: DomainConfig) -> list[Job]:
        """Return the steps that have to run for one more trial, in order."""
        found = []
        for step, key in self._walk(config):
            if key not in self._entries:
                self._entries[key] = self._store.lookup(key)
                if self._entries[key] is None:
                    found.append(Job(step, key))
        return found

    def seconds_of(self, config: DomainConfig) -> dict[str, float]:
        """Return how long the steps of a trial took, by stage, as far as they ran before."""
        entries = {step.stage.name: self._entries.get(key) for step, key in self._walk(config)}
        return {name: entry.seconds for name, entry in entries.items() if entry}

    def _walk(self, config: DomainConfig) -> Iterator[tuple[Step, str]]:
        made: dict[str, Reference] = {}
        for step in steps(config):
            inputs = {role: made[name] for role, name in step.inputs.items()}
            key = self._keys.of(step, inputs, config)
            yield step, key
            entry = self._entries.get(key)
            made[step.name] = entry.reference if entry else _promised(key)


def _promised(key: str) -> Reference:
    return Reference(kind="promised", digest=key, uri="", rows=0)


def counted(jobs: Sequence[Job]) -> dict[str, int]:
    """Return how often each stage has to run, in the order of the pipeline."""
    names = [job.step.stage.name for job in jobs]
    order = [*graph.STAGES, *graph.FURTHER]
    return {name: names.count(name) for name in sorted(set(names), key=order.index)}
