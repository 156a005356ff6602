"""Getting a run's history to the server before this process, or the server with it, ends.

Task runs reach the server as events that are queued here and, again, there.
"""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from pipeline import graph, runs
from pipeline.errors import AngleAdaptError

SEND_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 60.0


def send() -> None:
    """Send every queued event and log record; the server takes them from there."""
    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=SEND_SECONDS)


def settle(flow_run_id: UUID) -> bool:
    """Wait until the server has the final state of every task run; False when it gave up."""
    send()
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    deadline = time.monotonic() + SETTLE_SECONDS
    with get_client(sync_client=True) as client:
        tasks = _tasks(client.read_flow_run(flow_run_id).name)
        while time.monotonic() < deadline:
            found = client.read_task_runs(flow_run_filter=chosen)
            if len(found) >= tasks and all(run.state and run.state.is_final() for run in found):
                return True
            time.sleep(0.2)
    return False


def _tasks(run_id: str) -> int:
    """Return how many tasks a run started: those that finished, and one that may have failed."""
    try:
        record = runs.load(run_id)
    except AngleAdaptError:  # it failed before its first stage
        return 0
    rounds = record.config.get("mine", {}).get("rounds", 1)
    unfinished = len(record.stages) < len(graph.steps(rounds))
    return len(record.stages) + (record.status == "failed" and unfinished)
