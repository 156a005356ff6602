"""What the Prefect server knows of runs; imported once the environment names the server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import FlowRun, TaskRun

from flows import history


def _id(state: Any) -> UUID:
    found: UUID = state.state_details.flow_run_id
    return found


def task_runs(state: Any) -> list[TaskRun]:
    """Return the task runs of the flow run that ended in ``state``, once all have arrived."""
    assert history.settle(_id(state))
    with get_client(sync_client=True) as client:
        return client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[_id(state)]))
        )


def task_states(state: Any) -> dict[str, str]:
    """Return the final state's name of every task by the task's name."""
    return {run.name: run.state.name for run in task_runs(state) if run.state}


def artifacts(state: Any) -> dict[str, str]:
    """Return the artifacts of a flow run as text, by key."""
    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[_id(state)]))
    with get_client(sync_client=True) as client:
        return {str(one.key): str(one.data) for one in client.read_artifacts(artifact_filter=only)}


def named(name: str) -> tuple[FlowRun, list[str]]:
    """Return the flow run called ``name``, and the names of its tasks' states as they are now."""
    chosen = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(flow_run_filter=chosen)
        found = client.read_task_runs(flow_run_filter=chosen)
    return flow_run, [run.state.name for run in found if run.state]


def runs_of(deployment: str) -> list[FlowRun]:
    """Return the flow runs of a deployment."""
    chosen = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(deployment_filter=chosen)
