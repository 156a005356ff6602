"""One run from the command line: check, find a server, run the flow, see its history safe."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flows import server
from pipeline import config as configuration
from pipeline import graph, runs
from pipeline.config import DomainConfig
from pipeline.settings import home

if TYPE_CHECKING:
    from pipeline.runs import RunRecord

log = logging.getLogger(__name__)


def check(domain: str, overrides: Sequence[str]) -> DomainConfig:
    """Return the configuration, once everything that it names was seen to be there.

    Raises:
        AngleAdaptError: what is wrong and where, before anything is started.
    """
    config = configuration.load(configuration.resolve(domain), overrides)
    _check_names(config)
    graph.check(config)
    return config


def _check_names(config: DomainConfig) -> None:
    """Refuse names of strategies and annotators that do not exist, before minutes are spent."""
    from pipeline.annotation import annotators  # noqa: PLC0415 - imports scikit-learn
    from pipeline.mining.stage import check_shares  # noqa: PLC0415

    check_shares(config.mine)
    referee = [config.label.referee] if config.label.referee else []
    annotators.check([*config.label.annotators, *referee], config.chat)


def execute(
    domain: str, overrides: Sequence[str], *, ephemeral: bool = False, debug: bool = False
) -> RunRecord:
    """Run the flow `adapt` in this process and return its record.

    Raises:
        Exception: what stopped the run, as the library raised it.
    """
    check(domain, overrides)
    server.connect(home().prefect, ephemeral=ephemeral, quiet=not debug)
    logging.raiseExceptions = debug  # Prefect writes to stderr when a log line cannot be sent
    from flows import history  # noqa: PLC0415 - Prefect reads the environment that connect prepared
    from flows.adapt import adapt  # noqa: PLC0415

    path = str(configuration.resolve(domain).absolute())
    try:
        state = adapt(path, tuple(overrides), return_state=True)
    except BaseException:
        with suppress(Exception):
            history.send()
        raise
    run_id = state.state_details.flow_run_id
    if not ephemeral or run_id is None:
        history.send()
    elif not history.settle(run_id):
        log.warning("the ephemeral Prefect server was slow: this run's history is incomplete")
    return runs.load(state.result())
