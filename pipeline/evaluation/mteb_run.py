"""Measuring an encoder with MTEB: its public tasks by name, and sets of one's own, offline.

Results are files in MTEB's own layout, ``results/MODEL/REVISION/TASK.json`` with a description of
the model beside them, which ``mteb.ResultCache(folder).load_results()`` reads back. A task that was
measured before, with the same model, data and version of mteb, is read from there.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.disk import disk_errors
from pipeline.encoder import Encoder
from pipeline.errors import InputError, ResourceError
from pipeline.evaluation.items import ItemSet
from pipeline.evaluation.sets import EvaluationSet

if TYPE_CHECKING:
    from mteb import ResultCache, TaskResult
    from mteb.abstasks import AbsTask

    from pipeline.evaluation.mteb_model import MtebModel

log = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "MTEB_CACHE"
OFFLINE: Final = (
    "its data is on the Hugging Face Hub: run where there is a network and HF_HUB_OFFLINE is not "
    "set, once for it to be kept, or name a set of your own"
)

MtebTask = str | EvaluationSet | ItemSet  # the name of a task or benchmark, or a set of one's own


class Request(NamedTuple):
    """What to measure: an encoder under a name, and the tasks."""

    encoder: Encoder
    name: str  # of the model: organisation/name, or a name alone
    tasks: Sequence[MtebTask]
    adapted_from: str = ""  # the backbone of an adapted model


class MtebScore(NamedTuple):
    """What a task found, and where MTEB's record of it is."""

    task: str
    kind: str  # MTEB's type of task, such as STS or Retrieval
    metric: str
    value: float  # the main score, mean over splits and sub-sets
    seconds: float
    known: bool  # measured before, with this model, data and version
    file: Path


def run(request: Request, out: Path) -> list[MtebScore]:
    """Measure a model with MTEB, and keep each task's results in ``out`` as soon as it ends.

    Every name is looked up before anything is encoded. Only public tasks use the network.

    Raises:
        ResourceError: when mteb is not installed, or the disk is full.
        InputError: when there is no such task, it is not about text, or its data cannot be had.
    """
    from pipeline.evaluation.mteb_model import MtebModel  # noqa: PLC0415 - once mteb is there

    _import(out)
    with _quiet():
        tasks = _checked(request.tasks)
        model = MtebModel(request.encoder, request.name, request.adapted_from)
        return [_measured(model, task, out) for task in tasks]


def check_names(tasks: Sequence[MtebTask], out: Path) -> None:
    """Look every task up, as `run` does before it encodes; for those who load a model in between.

    Raises:
        ResourceError: when mteb is not installed, or the disk is full.
        InputError: when there is no such task, it is not about text, or two have the same name.
    """
    _import(out)
    with _quiet():
        _checked(tasks)


def _import(out: Path) -> None:
    """Import mteb, which makes a folder for its results at once: not in the user's home."""
    if importlib.util.find_spec("mteb") is None:
        message = "measuring with MTEB needs mteb: pip install 'angle-adapt[mteb]'"
        raise ResourceError(message)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    unset = CACHE_VARIABLE not in os.environ
    os.environ.setdefault(CACHE_VARIABLE, str(out))
    try:
        import mteb  # noqa: F401, PLC0415 - takes seconds
    finally:
        if unset:
            del os.environ[CACHE_VARIABLE]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what mteb and scikit-learn tell their developers, and bars beside ours."""
    import datasets  # noqa: PLC0415 - mteb imported it

    theirs = logging.getLogger("mteb")
    shown, level = datasets.utils.logging.is_progress_bar_enabled(), theirs.level
    datasets.disable_progress_bars()
    theirs.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.setLevel(level)
        if shown:
            datasets.enable_progress_bars()


def _tasks(given: MtebTask) -> list[AbsTask]:
    from pipeline.evaluation import mteb_tasks  # noqa: PLC0415 - imports mteb

    return _named(given) if isinstance(given, str) else mteb_tasks.of_set(given)


def _named(name: str) -> list[AbsTask]:
    """Return the task of MTEB's registry, or the tasks of its benchmark, under a name."""
    import mteb  # noqa: PLC0415

    try:
        return [mteb.get_task(name)]
    except KeyError as error:
        nearest = str(error.args[0])
    try:
        return list(mteb.get_benchmark(name).tasks)
    except KeyError as error:
        nearest += str(error.args[0])
    _, found, proposed = nearest.partition("Did you mean")  # mteb's own words
    hint = f"did you mean{proposed}" if found else "their names are those of mteb.get_tasks()"
    message = f"MTEB has no task or benchmark {name!r}, and there is no such file: {hint}"
    raise InputError(message)


def _checked(given: Sequence[MtebTask]) -> list[AbsTask]:
    """Return the tasks of everything given, all of which can be measured side by side."""
    found: dict[str, AbsTask] = {}
    for task in (task for one in given for task in _tasks(one)):
        name, other = task.metadata.name, [m for m in task.modalities if m != "text"]
        if other:
            message = f"the MTEB task {name} needs {', '.join(other)}: give one of text"
            raise InputError(message)
        if name in found:
            message = f"two tasks are called {name}: give one of them as NAME=PATH, or only once"
            raise InputError(message)
        found[name] = task
    return list(found.values())


def _measured(model: MtebModel, task: AbsTask, out: Path) -> MtebScore:
    import mteb  # noqa: PLC0415

    name, cache = task.metadata.name, mteb.ResultCache(out)
    before = _before(cache, model, task)
    if before is not None and not before.get_missing_evaluations(task):
        return _score(model, task, before, cache, known=True)
    log.info("MTEB: %s (%s)", name, task.metadata.type)
    loaded = _load(task)
    with disk_errors(out):
        found = mteb.evaluate(
            model,
            task,
            co2_tracker=False,
            cache=cache,
            overwrite_strategy="always" if before is None else "only-missing",
            show_progress_bar=False,
        )
    for part in loaded:
        part.unload_data()
    return _score(model, task, found.task_results[0], cache, known=False)


def _before(cache: ResultCache, model: MtebModel, task: AbsTask) -> TaskResult | None:
    """Return what is kept of the task, if it is of the same data and version of mteb.

    MTEB itself would return whatever it holds under the name of the task.
    """
    import mteb  # noqa: PLC0415

    try:
        found = cache.load_task_result(task.metadata.name, model.mteb_model_meta)
    except (OSError, ValueError) as error:
        log.warning("measuring %s again: its results are unreadable (%s)", task, error)
        return None
    wanted = (task.metadata.revision, mteb.__version__)
    same = found is not None and (found.dataset_revision, found.mteb_version) == wanted
    return found if same else None


def _load(task: AbsTask) -> list[AbsTask]:
    """Load the data of a public task and return what was loaded; a set of one's own is there.

    Loaded here, so that MTEB's own errors come after those of a network that is not there.
    """
    missing = [part for part in _parts(task) if not part.data_loaded]
    for part in missing:
        try:
            part.load_data()
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            message = f"cannot load the MTEB task {part.metadata.name} ({reason}): {OFFLINE}"
            raise InputError(message) from error
    return missing


def _parts(task: AbsTask) -> list[AbsTask]:
    """Return a task, or the tasks that an aggregate is the mean of."""
    return list(task.tasks) if task.is_aggregate else [task]  # type: ignore[attr-defined]


def _score(
    model: MtebModel, task: AbsTask, found: TaskResult, cache: ResultCache, *, known: bool
) -> MtebScore:
    meta: Any = task.metadata
    score = MtebScore(
        task=meta.name,
        kind=str(meta.type),
        metric=meta.main_score,
        value=float(found.get_score()),
        seconds=found.evaluation_time or 0.0,
        known=known,
        file=cache.get_task_result_path(meta.name, model.mteb_model_meta),
    )
    note = ", measured before" if known else f" in {score.seconds:.0f} s"
    log.info("MTEB: %s: %s %.4f%s", score.task, score.metric, score.value, note)
    return score
