"""`angle-adapt ablate`: what each of a domain's settings is worth, as a table with intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from flows import listing, trial_plan, trial_run
from flows.trial_plan import Domain, Plan
from flows.trial_run import Outcome
from pipeline import runs
from pipeline.artifacts import Store
from pipeline.disk import write_atomically
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.verdict import signed
from pipeline.records import Record
from pipeline.settings import home
from pipeline.trials import grid, table
from pipeline.trials.grid import Trial
from pipeline.trials.table import Effect, Row

KIND: Final = "ablate"
FOLDER: Final = "trials"
TO_CHOOSE: Final = (
    "Choose by the dev columns alone. The test columns report: whoever chooses by them has no test "
    "pairs any more."
)


class Asked(NamedTuple):
    """What the command line asks for."""

    domain: str
    settings: Sequence[str]
    vary: Sequence[str]
    values: Sequence[str] = ()
    seeds: int = 1
    full: bool = False


class Prepared(NamedTuple):
    """The domain, the trials, and what running them would take."""

    domain: Domain
    asked: Asked
    trials: tuple[Trial, ...]
    plan: Plan


class Ablation(Record):
    """An ablation as it is written down; ``chosen`` is the trial to take, by the dev pairs."""

    domain: str
    name: str
    created: str
    command: dict[str, Any]
    seeds: tuple[int, ...]
    gold: dict[str, int]
    confidence: float
    resamples: int
    allowed_loss: float
    rows: tuple[Row, ...]
    chosen: str
    told: bool
    versions: dict[str, str]


def prepare(asked: Asked) -> Prepared:
    """Return the trials that were asked for, all of them checked, and what they would take.

    Raises:
        AngleAdaptError: an unknown factor, settings that a trial refuses, no gold set.
    """
    given = trial_plan.domain(asked.domain, asked.settings)
    wanted = grid.wanted(asked.vary, asked.values)
    found = grid.trials(given.config, wanted, given.make, full=asked.full)
    plan = trial_plan.plan(given.config, trial_plan.attempts(given, found, asked.seeds))
    return Prepared(given, asked, tuple(found), plan)


def run(prepared: Prepared, *, ephemeral: bool = False, debug: bool = False) -> Ablation:
    """Run the trials and return what they show."""
    asked = prepared.asked
    name = runs.new_id(f"{prepared.domain.config.domain}-{KIND}")
    how = trial_run.How(KIND, name, asked.seeds, ephemeral, debug)
    outcomes = trial_run.execute(asked.domain, prepared.plan, how)
    return concluded(prepared, name, outcomes)


def concluded(prepared: Prepared, name: str, outcomes: Sequence[Outcome]) -> Ablation:
    """Return the table of what the trials left."""
    config, seeds = prepared.domain.config, prepared.asked.seeds
    settings = config.evaluate
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    rows = [_row(trial, trial_run.of_trial(outcomes, number, seeds))
            for number, trial in enumerate(prepared.trials)]  # fmt: skip
    rows = _measured(rows, outcomes, seeds, bootstrap)
    chosen, told = table.best(rows, 1 - settings.confidence, settings.allowed_loss)
    return Ablation(
        domain=config.domain, name=name, created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=prepared.asked._asdict(), gold=prepared.plan.gold,
        seeds=tuple(range(config.train.seed, config.train.seed + seeds)),
        confidence=settings.confidence, resamples=settings.resamples,
        allowed_loss=settings.allowed_loss, rows=tuple(rows),
        chosen=chosen.trial.name, told=told, versions=runs.versions(),
    )  # fmt: skip


def _row(trial: Trial, found: Sequence[Outcome]) -> Row:
    failed = next((one.error for one in found if one.error), "")
    entries = [one.entries for one in found if one.entries]
    if failed or not entries:
        return Row(trial=trial, failed=failed)
    models = [some["train"] for some in entries]
    return Row(
        trial=trial, pairs=Store(home()).json(models[0].reference).get("pairs"),
        seconds=fmean(model.seconds for model in models),
        models=tuple(model.reference.digest for model in models),
    )  # fmt: skip


def _measured(
    rows: Sequence[Row], outcomes: Sequence[Outcome], seeds: int, bootstrap: Bootstrap
) -> list[Row]:
    """Return the rows with their effects; those that failed have none, and count for nothing."""
    done = [number for number, row in enumerate(rows) if not row.failed]
    found = list(rows)
    for split in table.SPLITS:
        scored = [
            table.scored([one.scores for one in trial_run.of_trial(outcomes, n, seeds)], split)
            for n in done
        ]
        if not len(scored[0].gold):  # a domain that wants no general text
            continue
        for number, effect in zip(done, table.effects(scored, bootstrap), strict=True):
            found[number] = found[number].model_copy(update={split: effect})
    return found


# Writing down


def place(out: Path | None, name: str) -> Path:
    """Return the folder for what is written: as asked, else one of its own in the data folder."""
    folder = out or home().root / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(found: Ablation, out: Path | None) -> Path:
    """Write the table as JSON, CSV and HTML; return the folder."""
    from pipeline.export.rendering import render  # noqa: PLC0415 - only when something is shown

    folder = place(out, found.name)
    write_atomically(folder / "ablation.json", found.model_dump_json(indent=2) + "\n")
    write_atomically(folder / "ablation.csv", as_csv(found))
    page = render(
        "ablation.html.j2", found=found, to_choose=TO_CHOOSE, conclusion=conclusion(found),
        limit=limit(found), groups=groups(found), forgets=table.forgets,
    )  # fmt: skip
    write_atomically(folder / "ablation.html", page)
    return folder


def limit(found: Ablation) -> float:
    """Return how far from 0 the intervals of the dev differences reach, for drawing them."""
    reached = [row.dev.both for row in found.rows if row.dev and row.dev.both]
    return max((abs(end) for end in chain.from_iterable(reached)), default=0.0) or 0.01


def groups(found: Ablation) -> dict[str, list[Row]]:
    """Return the rows by factor, in their order; the domain's own setting is in none."""
    made: dict[str, list[Row]] = {}
    for row in found.rows[1:]:
        made.setdefault(row.trial.factor, []).append(row)
    return made


def as_csv(found: Ablation) -> str:
    """Return one line a trial."""
    measures = ("rho", "base", "difference", "items_low", "items_high", "seeds_low", "seeds_high",
                "low", "high", "p", "p_holm")  # fmt: skip
    columns = ["trial", "factor", "level", "pairs", "seconds", "failed"]
    columns += [f"{split}_{name}" for split in table.SPLITS for name in measures]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in found.rows:
        line: dict[str, Any] = {
            "trial": row.trial.name, "factor": row.trial.factor, "level": row.trial.level,
            "pairs": row.pairs, "seconds": row.seconds, "failed": row.failed,
        }  # fmt: skip
        for split in table.SPLITS:
            values = _cells(getattr(row, split))
            line |= {f"{split}_{name}": value for name, value in values.items()}
        writer.writerow(line)
    return stream.getvalue()


def _cells(effect: Effect | None) -> dict[str, float | None]:
    if effect is None:
        return {}
    ends = {"items": effect.items, "seeds": effect.seeds, "": effect.both}
    found: dict[str, float | None] = {
        name: getattr(effect, name) for name in ("rho", "base", "difference", "p", "p_holm")
    }
    for source, interval in ends.items():
        for side, end in zip(("low", "high"), interval or (None, None), strict=True):
            found[f"{source}_{side}".lstrip("_")] = end
    return found


def as_text(found: Ablation) -> str:
    """Return the table for a terminal, and what it says."""
    head = ("TRIAL", "DEV ρ", "DIFFERENCE", "INTERVAL", "p (HOLM)", "TEST ρ", "DIFFERENCE",
            "INTERVAL", "GENERAL", "TRAINED")  # fmt: skip
    rows = [head, *(_line(row, found.allowed_loss) for row in found.rows)]
    return "\n".join([listing.aligned(rows), "", conclusion(found), sources(found), TO_CHOOSE])


def sources(found: Ablation) -> str:
    """Return what the intervals hold."""
    level = f"{100 * found.confidence:g} % intervals"
    if len(found.seeds) == 1:
        return (
            f"{level} over the gold pairs. One seed: how far another training would differ is "
            "not in them; --seeds 3 adds it."
        )
    return f"{level} over the gold pairs and {len(found.seeds)} seeds."


def conclusion(found: Ablation) -> str:
    """Return which setting to take, in a sentence."""
    if not found.told:
        return (
            f"No setting is told from the domain's own on the {found.gold['dev']:,} dev pairs: "
            "keep it."
        )
    row = next(row for row in found.rows if row.trial.name == found.chosen)
    dev, test = row.dev, row.test
    text = f"Take {found.chosen}"
    if dev and dev.both and test and test.both:
        text += (
            f": {signed(dev.difference)} on dev ({_interval(dev)}), and, not chosen by, "
            f"{signed(test.difference)} on test ({_interval(test)})"
        )
    changed = "; ".join(f"--set {one}" for one in row.trial.overrides)
    return f"{text}. To set it: {changed}"


def _interval(effect: Effect) -> str:
    return f"{signed(effect.both[0])} to {signed(effect.both[1])}" if effect.both else "–"


def _line(row: Row, allowed_loss: float) -> tuple[str, ...]:
    if row.failed or row.dev is None or row.test is None:
        return (row.trial.name, f"failed: {row.failed}", *[""] * 8)
    holm = "" if row.dev.p_holm is None else f"{row.dev.p_holm:.3f}"
    cells = [row.trial.name]
    for effect, extra in ((row.dev, [holm]), (row.test, [])):
        own = effect.both is None
        cells += [f"{effect.rho:.3f}", "" if own else signed(effect.difference),
                  "" if own else _interval(effect), *extra]  # fmt: skip
    general = row.general
    lost = "" if general is None or general.both is None else signed(general.difference)
    lost += ", forgets" if table.forgets(row, allowed_loss) else ""
    return (*cells, lost, f"{row.seconds or 0:.0f} s")
