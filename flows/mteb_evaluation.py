"""A model that a user names, measured with MTEB: its tasks by name, sets of the user by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flows import models
from pipeline import registered
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.evaluation.mteb_run import MtebScore, MtebTask

NAMED: Final = "="  # NAME=PATH gives a set of one's own a name


def run(
    model: str, tasks: Sequence[MtebTask], out: Path, max_score: float = 1.0
) -> list[MtebScore]:
    """Measure a model with MTEB and keep the results, in MTEB's format, under ``out``.

    A task is the name of one of MTEB's, of one of its benchmarks, a set that is already read, or
    the path of a set: a table of scored pairs (up to ``max_score``) or of labelled items, or a
    folder in BEIR's layout; NAME=PATH calls it by another name than the file's.

    Raises:
        InputError: when there is no such model, task or file, or a set cannot be used.
        ResourceError: when mteb is not installed.
    """
    from pipeline.evaluation import mteb_run  # noqa: PLC0415 - not needed for --help

    given = [_task(task, max_score) if isinstance(task, str) else task for task in tasks]
    mteb_run.check_names(given, out)
    found, record = models.load(model), models.record_of(model)
    name = record.id if record else found.name  # "latest" names another run tomorrow
    request = mteb_run.Request(found.encoder, name, given, found.adapted_from)
    return mteb_run.run(request, out)


def as_text(scores: Sequence[MtebScore]) -> str:
    """Return the figures as aligned lines, and where the results are."""
    rows = [
        (s.task, s.kind, s.metric, f"{s.value:.4f}", "measured before" if s.known else "")
        for s in scores
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, [*widths, 0])).rstrip() for row in rows]
    return "\n".join([*lines, f"results in {scores[0].file.parent}"])


def _task(text: str, max_score: float) -> MtebTask:
    """Return the set at a path, read, or the name of a task as it is."""
    name, _, named = text.rpartition(NAMED)
    for called, given in ((name, named), ("", text)):
        path = Path(given).expanduser()
        if given and path.exists():
            return _set(called or (path.name if path.is_dir() else path.stem), path, max_score)
    if Path(text).suffix.lower() in registered.READERS:
        message = f"there is no file {named}: name a task of MTEB, or a set of yours by its path"
        raise InputError(message)
    return text


def _set(name: str, path: Path, max_score: float) -> MtebTask:
    from pipeline.evaluation import items, sets  # noqa: PLC0415 - not needed for --help
    from pipeline.sections import SetSettings  # noqa: PLC0415

    if path.is_file() and items.is_items(_first(path)):
        return items.load(name, path)
    settings = SetSettings.model_validate({"path": str(path.resolve()), "max_score": max_score})
    return sets.load(name, settings)


def _first(path: Path) -> Mapping[str, Any]:
    """Return the first row of a table, of which the columns tell what it holds; else nothing."""
    reader = registered.READERS.get(path.suffix.lower())
    try:
        rows: Iterator[Mapping[str, Any]] = iter(reader(path)) if reader else iter(())
        return next(rows, {})
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
