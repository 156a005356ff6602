"""The flow `trials`: each training of each trial as a flow run of its own within one.

A trial is the pipeline itself up to training, and the scoring of the gold pairs, by the same tasks,
keys and store as `adapt`. A step that an earlier trial ran or looked up is not shown again: a
trial's run consists of what is its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows import adapt, secret_blocks
from flows.adapt import Finished
from pipeline import config as configuration
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.errors import AngleAdaptError
from pipeline.graph import Step
from pipeline.settings import home
from pipeline.trials import work
from pipeline.trials.work import Keys

log = logging.getLogger(__name__)

TABLE_KEY: Final = "angle-adapt-trials"


class Bench:
    """What the trials of a flow run have in common: the store, and the steps that are done."""

    def __init__(self, keys: Keys) -> None:
        self.store, self._keys = Store(home()), keys
        self._done: dict[str, Finished] = {}

    def step(self, step: Step, finished: Mapping[str, Finished], config: DomainConfig) -> Finished:
        """Return a step: done before, found in the store, or run now."""
        inputs = {role: finished[name].entry.reference for role, name in step.inputs.items()}
        key = self._keys.of(step, inputs, config)
        if key not in self._done:
            self._done[key] = adapt.run_step(step, key, finished, config, self.store)
        return self._done[key]


# Set by who starts the flow in this process, so that keys that were asked for while planning hold.
KEYS: Final[ContextVar[Keys | None]] = ContextVar("KEYS", default=None)
_BENCH: Final[ContextVar[Bench]] = ContextVar("_BENCH")


@flow(name="trial", flow_run_name="{name}", persist_result=False)
def trial(name: str, domain: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the index entries of a trial's steps, by step, once all are done.

    Args:
        name: what the trial is called.
        domain: path of a domain file.
        overrides: settings to change, as section.setting=value.
    """
    config = configuration.load(configuration.resolve(domain), overrides)
    secret_blocks.load(config)
    bench = _BENCH.get()
    finished: dict[str, Finished] = {}
    for step in work.steps(config):
        finished[step.name] = bench.step(step, finished, config)
        if finished[step.name].partial:
            log.warning("%s: %s: %s", name, step.name, finished[step.name].partial)
    return {name: done.entry.model_dump(mode="json") for name, done in finished.items()}


@flow(name="trials", flow_run_name="{name}", persist_result=False)
def trials(
    name: str, domain: str, attempts: Mapping[str, Sequence[str]], needed: int
) -> dict[str, dict[str, Any]]:
    """Run every attempt; return its entries by step, or under "error" why it came to nothing.

    Args:
        name: what the whole is called.
        domain: path of a domain file.
        attempts: overrides by the name of the attempt.
        needed: the first so many must succeed, and end everything where they do not.
    """
    logging.getLogger("pipeline").setLevel(logging.INFO)
    bench = Bench(KEYS.get() or Keys())
    token = _BENCH.set(bench)
    found: dict[str, dict[str, Any]] = {}
    try:
        for number, (attempt, overrides) in enumerate(attempts.items()):
            log.info("%d of %d: %s", number + 1, len(attempts), attempt)
            found[attempt] = _tried(attempt, domain, overrides, must=number < needed)
    finally:
        _BENCH.reset(token)
    _show(name, found, bench.store)
    return found


def _tried(name: str, domain: str, overrides: Sequence[str], *, must: bool) -> dict[str, Any]:
    state = trial(name, domain, overrides, return_state=True)
    if state.is_completed():
        done: dict[str, Any] = state.result()
        return done
    error = state.result(raise_on_failure=False)
    if must or not isinstance(error, AngleAdaptError):
        raise error if isinstance(error, BaseException) else RuntimeError(str(state))
    log.warning("%s came to nothing: %s", name, error)
    return {"error": str(error)}


def _show(name: str, found: Mapping[str, Mapping[str, Any]], store: Store) -> None:
    """Write ρ of every attempt as a table among the run's artifacts."""
    table = [{"trial": attempt, **_figures(entries, store)} for attempt, entries in found.items()]
    create_table_artifact(table=table, key=TABLE_KEY, description=name)


def _figures(entries: Mapping[str, Any], store: Store) -> dict[str, Any]:
    if "error" in entries:
        return {"failed": entries["error"]}
    reference = Reference.model_validate(entries[work.LAST]["reference"])
    summary = store.json(reference)
    return {split: round(summary[split]["adapted"], 4) for split in ("dev", "test")}
