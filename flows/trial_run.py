"""Trials from the command line: find a server, run the flow, read what each trial left."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from flows import server
from flows.trial_plan import Plan
from pipeline import config as configuration
from pipeline.artifacts import IndexEntry, Store
from pipeline.settings import home
from pipeline.trials import work
from pipeline.trials.scores import ScoredPair

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What one training of a trial left; ``error`` says why it left nothing."""

    name: str
    scores: tuple[ScoredPair, ...] = ()
    entries: dict[str, IndexEntry] | None = None
    error: str = ""


class How(NamedTuple):
    """What the whole is called, which of the first attempts must succeed, and how it is run."""

    kind: str
    name: str
    needed: int
    ephemeral: bool = False
    debug: bool = False


def execute(domain: str, plan: Plan, how: How) -> list[Outcome]:
    """Run all attempts within one flow run in this process, and return what they left, in order.

    Raises:
        Exception: what stopped an attempt that must succeed, as the library raised it.
    """
    server.connect(home().prefect, ephemeral=how.ephemeral, quiet=not how.debug)
    logging.raiseExceptions = how.debug  # Prefect writes to stderr when a log line cannot be sent
    from flows import history, trial_flow  # noqa: PLC0415 - Prefect reads what connect prepared

    named = trial_flow.trials.with_options(name=how.kind)
    path = str(configuration.resolve(domain).absolute())
    token = trial_flow.KEYS.set(plan.keys)
    try:
        state = named(
            how.name, path, {one.name: list(one.overrides) for one in plan.attempts}, how.needed,
            return_state=True,
        )  # fmt: skip
    except BaseException:
        with suppress(Exception):
            history.send()
        raise
    finally:
        trial_flow.KEYS.reset(token)
    run_id = state.state_details.flow_run_id
    if not how.ephemeral or run_id is None:
        history.send()
    elif not history.settle(run_id):
        log.warning("the ephemeral Prefect server was slow: this run's history is incomplete")
    return _outcomes(state.result())


def _outcomes(found: dict[str, dict[str, object]]) -> list[Outcome]:
    store = Store(home())
    made = []
    for name, left in found.items():
        if "error" in left:
            made.append(Outcome(name, error=str(left["error"])))
            continue
        entries = {step: IndexEntry.model_validate(entry) for step, entry in left.items()}
        scores = store.rows(entries[work.LAST].reference, ScoredPair)
        made.append(Outcome(name, tuple(scores), entries))
    return made


def of_trial(outcomes: Sequence[Outcome], number: int, seeds: int) -> Sequence[Outcome]:
    """Return the outcomes of one trial, by seed."""
    return outcomes[number * seeds : (number + 1) * seeds]
