"""The flow `adapt`: every stage of the pipeline as one cached Prefect task.

Whether a stage runs is decided by plain code before Prefect is asked: its key is computed by
`pipeline.graph`, and the shared store is looked up under it. What is found there is written into
Prefect's own result records, so the task shows as Cached even where this installation of Prefect
never saw it run; what is not found is computed anew whatever those records say. The records stay
private to one installation, because reading them can run code.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.runtime import flow_run
from prefect.serializers import JSONSerializer
from prefect.settings import get_current_settings
from prefect.utilities.urls import url_for

from flows import reporting, secret_blocks
from pipeline import config as configuration
from pipeline import graph, runs
from pipeline.artifacts import IndexEntry, Reference, Store
from pipeline.config import DomainConfig
from pipeline.graph import Step
from pipeline.runs import RunRecord, StageRecord
from pipeline.settings import home

log = logging.getLogger(__name__)

TABLE_KEY: Final = "angle-adapt-stages"
VERDICT_KEY: Final = "angle-adapt-verdict"
LABELS_KEY: Final = "angle-adapt-labels"


def _given_key(_: object, parameters: Mapping[str, Any]) -> str:
    return str(parameters["key"])


@task(
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_given_key),
    persist_result=True,
    result_serializer="json",
)
def run_stage(
    key: str,  # noqa: ARG001 - Prefect's cache key
    stage: str,
    config: dict[str, Any],
    inputs: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Run one stage on plain data, and return its index entry and whether it was there already."""
    outcome = graph.materialise(
        graph.stage_named(stage),
        {name: Reference.model_validate(reference) for name, reference in inputs.items()},
        configuration.parse(config),
        Store(home()),
    )
    return _plain(outcome.entry, cached=outcome.cached, partial=outcome.partial)


def _plain(entry: IndexEntry, *, cached: bool, partial: str = "") -> dict[str, Any]:
    return {"entry": entry.model_dump(mode="json"), "cached": cached, "partial": partial}


def _run_name() -> str:
    return runs.new_id(Path(flow_run.get_parameters()["domain"]).stem)


@flow(name="adapt", flow_run_name=_run_name, persist_result=False)
def adapt(domain: str, overrides: Sequence[str] = ()) -> str:
    """Turn a domain's text into an adapted embedding model; returns the id of the run's record.

    Args:
        domain: path of a domain file.
        overrides: settings to change, as section.setting=value.
    """
    logging.getLogger("pipeline").setLevel(logging.INFO)
    config = configuration.load(configuration.resolve(domain), overrides)
    secret_blocks.load(config)
    record = runs.start(config, flow_run.get_name() or "", _url())
    try:
        return _conclude(*_run_stages(config, record)).id
    except BaseException as error:
        with contextlib.suppress(Exception):  # the disk may be full, the server gone
            _give_up(record.id, error)
        raise


class Finished(NamedTuple):
    """A stage that is done: what it produced, and the state other tasks wait for."""

    entry: IndexEntry
    cached: bool
    state: State[Any]
    partial: str = ""


def _run_stages(config: DomainConfig, record: RunRecord) -> tuple[RunRecord, dict[str, Reference]]:
    store = Store(home())
    finished: dict[str, Finished] = {}
    for step in graph.steps(config.mine.rounds):
        start = time.perf_counter()
        done = finished[step.name] = _run_step(step, finished, config, store)
        row = _stage_record(step, done, time.perf_counter() - start)
        record = runs.add(record, row)
        if done.partial:
            record = runs.save(record, partial=f"{step.name}: {done.partial}")
        log.info("%-10s %-7s %12s rows %9.1f s", row.stage, "cached" if row.cached else "ran",
                 f"{row.rows:,}", row.waited)  # fmt: skip
    return record, {name: done.entry.reference for name, done in finished.items()}


def _run_step(
    step: Step, finished: Mapping[str, Finished], config: DomainConfig, store: Store
) -> Finished:
    references = {role: finished[name].entry.reference for role, name in step.inputs.items()}
    graph.refresh(step.stage, config)
    key = graph.key_of(step.stage, references, config)
    return run_step(step, key, finished, config, store)


def run_step(
    step: Step, key: str, finished: Mapping[str, Finished], config: DomainConfig, store: Store
) -> Finished:
    """Return a step as the store holds it under ``key``, else run now, as a task of this flow."""
    stage = step.stage
    upstream = {role: finished[name] for role, name in step.inputs.items()}
    references = {name: done.entry.reference for name, done in upstream.items()}
    hit = store.lookup(key)
    if hit is None:
        log.info("%-10s running", step.name)
    else:
        _make_known(hit)
    configured = run_stage.with_options(
        name=step.name,
        task_run_name=step.name,
        refresh_cache=hit is None,
        result_storage=_results_folder(),
    )
    state: State[Any] = configured(
        key,
        stage.name,
        config.model_dump(mode="json"),
        {name: reference.model_dump(mode="json") for name, reference in references.items()},
        wait_for=[done.state for done in upstream.values()],
        return_state=True,
    )
    result = state.result()
    if hit is not None and state.name == "Cached":
        return Finished(hit, cached=True, state=state)
    entry = IndexEntry.model_validate(result["entry"])
    return Finished(entry, result["cached"], state, result.get("partial", ""))


def _results_folder() -> Path:
    folder = get_current_settings().home / "angle-adapt-results"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _make_known(hit: IndexEntry) -> None:
    """Enter what the shared store holds in this installation's own records."""
    storage = LocalFileSystem(basepath=str(_results_folder()))
    results = ResultStore(result_storage=storage, serializer=JSONSerializer())
    if not results.exists(hit.key):
        results.write(_plain(hit, cached=True), key=hit.key)


def _stage_record(step: Step, done: Finished, waited: float) -> StageRecord:
    reference = done.entry.reference
    return StageRecord(
        stage=step.name,
        cached=done.cached,
        digest=reference.digest,
        rows=reference.rows,
        seconds=done.entry.seconds,
        waited=waited,
        key=done.entry.key,
    )


def _conclude(record: RunRecord, references: Mapping[str, Reference]) -> RunRecord:
    store = Store(home())
    if "label" in references:
        _show_labels(record, store.json(references["label"])["annotators"])
    if "evaluate" in references:
        evaluation = store.json(references["evaluate"])
        record = runs.save(record, evaluation=evaluation, verdict=evaluation.get("verdict", ""))
    if "publish" in references:
        record = runs.link(record, store.path(references["publish"]))
    record = runs.finish(record, "partial" if record.partial else "completed")
    if "publish" in references:
        record = reporting.write(record, references, store)
    _show(record)
    return record


def _give_up(run_id: str, error: BaseException) -> None:
    failed = isinstance(error, Exception)
    text = str(error) or type(error).__name__
    record = runs.finish(runs.load(run_id), "failed" if failed else "interrupted", text)
    if failed:
        _show(record)
        store = Store(home())
        written = reporting.write(record, reporting.reached(record, store), store)
        log.info("what it reached: %s", written.report)


def _show(record: RunRecord) -> None:
    """Write the run's artifacts: the stages as a table, the verdict as text."""
    table = [
        {
            "stage": row.stage,
            "cached/ran": "cached" if row.cached else "ran",
            "digest": row.digest[:12],
            "rows": row.rows,
            "seconds": round(row.waited, 2),
        }
        for row in record.stages
    ]
    create_table_artifact(table=table, key=TABLE_KEY, description=f"Stages of run {record.id}")
    create_markdown_artifact(markdown=_verdict_text(record), key=VERDICT_KEY)


def _show_labels(record: RunRecord, annotators: Mapping[str, Any]) -> None:
    """Write what each annotator was asked, and what that took, as an artifact."""
    columns = ("asked", "reused", "scored", "missing", "usd", "prompt_tokens", "completion_tokens",
               "tried_again", "seconds")  # fmt: skip
    table = [
        {"annotator": name, **{column: found[column] for column in columns if column in found}}
        for name, found in annotators.items()
    ]
    create_table_artifact(table=table, key=LABELS_KEY, description=f"Labels of run {record.id}")


def _verdict_text(record: RunRecord) -> str:
    lines = [f"# {record.domain}: {record.verdict or record.status}", ""]
    lines += [f"* {reason}" for reason in record.evaluation.get("reasons", ())]
    lines += [f"* partial, {record.partial}"] if record.partial else []
    places = {"error": record.error, "report": record.report, "model": record.model,
              "dataset": record.dataset}  # fmt: skip
    lines += [f"* {name}: `{place}`" for name, place in places.items() if place]
    return "\n".join([*lines, "", f"Run `{record.id}`, {record.status}."])


def _url() -> str:
    if not get_current_settings().api.url:  # an ephemeral server has gone when one would look
        return ""
    return url_for("flow-run", flow_run.get_id()) or ""
