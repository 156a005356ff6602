"""Training on labelled pairs of one's own, for the command `train`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import config
from pipeline.disk import disk_errors
from pipeline.errors import InputError
from pipeline.settings import home
from pipeline.sources import tables
from pipeline.training.examples import Example, examples


def train(
    pairs: Path, dev: Path | None, out: Path, settings: Iterable[str], max_score: float
) -> dict[str, Any]:
    """Write a model trained on the pairs of a file into ``out``; return what happened.

    Raises:
        InputError: when a file cannot be used, or ``out`` is not a place for a new folder.
        ConfigError: when a setting is unknown or not valid.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        message = f"{out} exists already; give --out a new folder"
        raise InputError(message)
    chosen = config.parse(config.overridden({"domain": "pairs"}, settings), "--set")
    given = [read(path, max_score) if path else [] for path in (pairs, dev)]
    from pipeline.training import job  # noqa: PLC0415 - takes a second

    spec = job.spec_for(chosen.encoder, chosen.train)
    work = job.job(spec, chosen.train, given[0], given[1], home())
    place = out.absolute().parent
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=place))
        try:
            summary = job.train(work, aside)
            aside.chmod(0o755)  # of a temporary folder it is 0700
            aside.replace(out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return summary


def read(path: Path, max_score: float) -> list[Example]:
    """Return the pairs of a table file.

    Raises:
        InputError: when it is of no known type or a row is of no known format.
    """
    table = tables.TABLES.get(path.suffix.lower())
    if table is None:
        message = f"{path}: a file of pairs ends in {', '.join(sorted(tables.TABLES))}"
        raise InputError(message)
    return examples(table(path), max_score)


def described(summary: dict[str, Any], out: Path) -> str:
    """Return the outcome in a few lines."""
    lines = [f"model     {out}", f"trained   {summary['steps']} steps, {summary['pairs']} pairs"]
    if summary["best_dev"] is not None:
        lines.append(
            f"dev       Spearman's rho {summary['base_dev']:.3f} before, {summary['best_dev']:.3f} "
            f"after (best at step {summary['best_step']})"
        )
    return "\n".join(lines)
