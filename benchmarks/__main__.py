"""The door to all measurements: list them, run one, make the page of tables."""

from __future__ import annotations

import difflib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import _machine, _tables
from benchmarks._claims import BENCHMARKS
from benchmarks._record import Result, store
from flows import terminal
from pipeline.errors import AngleAdaptError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Which one to run.")]
Listed = Annotated[bool, typer.Option("--list", help="Name every benchmark and its claim.")]
Tables = Annotated[
    bool, typer.Option("--tables", help="Make docs/benchmarks.md and results.md anew.")
]
Quick = Annotated[bool, typer.Option("--quick", help="A smaller instance, about a minute.")]
File = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Store the result.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def benchmarks(
    name: Name = "",
    *,
    listed: Listed = False,
    tables: Tables = False,
    quick: Quick = False,
    file: File = None,
) -> None:
    """Put a claim of this project to the test; a target that is missed is a result, not an error.

    \b
    Examples:
      python -m benchmarks --list
      python -m benchmarks spine_default_run --json benchmarks/results/spine_default_run.json
      python -m benchmarks --tables
    """  # noqa: D301 - \b keeps the lines as they are
    if [bool(name), listed, tables].count(True) != 1:
        message = "give one of: the NAME of a benchmark, --list, --tables"
        raise typer.BadParameter(message)
    if listed:
        for known, benchmark in BENCHMARKS.items():
            typer.echo(f"{known}: {benchmark.claim}")
    elif tables:
        for path in _tables.write(BENCHMARKS):
            typer.echo(path)
    else:
        _run(name, file, quick=quick)


def _run(name: str, file: Path | None, *, quick: bool) -> None:
    if name not in BENCHMARKS:
        nearest = difflib.get_close_matches(name, BENCHMARKS, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}?" if nearest else "--list names them all"
        message = f"no benchmark {name!r}; {hint}"
        raise typer.BadParameter(message)
    result = measured(name, quick=quick)
    typer.echo(as_text(result))
    if file:
        store(result, file)


def measured(name: str, *, quick: bool) -> Result:
    """Run a benchmark and return the record of it."""
    hardware = _machine.hardware()
    found = BENCHMARKS[name].measure(quick=quick)
    return Result(
        name=name,
        quick=quick,
        figures=found.figures,
        versions=_machine.versions(),
        hardware=hardware,
        seed=found.seed,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def as_text(result: Result) -> str:
    """Return the figures as aligned lines."""
    rows = [_tables.row(figure) for figure in result.figures]
    width = max((len(row[0]) for row in rows), default=0)
    size = " (quick: a smaller instance of the same measurement)" if result.quick else ""
    lines = [f"{result.name}{size}"]
    for name, value, target, holds in rows:
        judged = f"  {target:>14}  {'holds' if holds == 'yes' else 'MISSED'}" if target else ""
        lines.append(f"{name:{width}}  {value:>12}{judged}")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    terminal.end_like_interrupts()  # so that nothing a benchmark started outlives it
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it says a line for every request
    try:
        app(prog_name="python -m benchmarks")
    except AngleAdaptError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
