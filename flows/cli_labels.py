"""The commands around labels: people's reviews, and the journal of what was asked and paid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import terminal
from flows.options import Debug

Run = Annotated[str, typer.Argument(help="The id of a run, or latest.")]
Place = Annotated[
    str, typer.Option("--journal", metavar="PLACE", help="Path or URL; else the data folder's.")
]

review = typer.Typer(
    no_args_is_help=True, help="Have people grade the pairs that annotators disagree about."
)
journal = typer.Typer(
    no_args_is_help=True, help="What was asked of chat models, what it cost, what is uncertain."
)


@review.command("export")
@terminal.reported
def export(
    run: Run,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")],
    limit: Annotated[int, typer.Option(min=1, help="Most pairs.")] = 200,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write pairs as a page to click through, a CSV and JSON lines.

    Open review.html in a browser, grade with the keys 0 to 5, download, and give the file to
    `angle-adapt review import`.

    \b
    Example:
      angle-adapt review export latest -o review --limit 100
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import review as reviews  # noqa: PLC0415

    files, pairs = reviews.export(run, out, limit)
    typer.echo(f"{pairs:,} pairs to grade: open {files.page}, or fill in {files.table}")


@review.command("import")
@terminal.reported
def take_back(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON lines, graded.")],
    run: Run,
    *,
    reviewer: Annotated[str, typer.Option(help="Who graded rows that name nobody.")] = "",
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Keep the grades of a file that came back; rows that cannot be used are named.

    Runs with `human` among label.annotators use them from then on.

    \b
    Example:
      angle-adapt review import graded.csv latest --reviewer ada
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import review as reviews  # noqa: PLC0415

    typer.echo(reviews.take_back(file, run, reviewer))


@journal.command("show")
@terminal.reported
def show(
    *,
    place: Place = "",
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="List the questions that may have been billed.")
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Count the questions by annotator and state, with what they cost.

    \b
    Examples:
      angle-adapt journal show
      angle-adapt journal show --uncertain --journal postgresql://labels.example/journal
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import ledger  # noqa: PLC0415

    typer.echo(ledger.uncertain(place) if uncertain else ledger.summary(place))


@journal.command("salvage")
@terminal.reported
def salvage(
    damaged: Annotated[Path, typer.Argument(help="A journal that cannot be read.")],
    new: Annotated[Path, typer.Argument(help="Where to put what can be saved.")],
    *,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Copy every answer that is whole out of a damaged journal into a new one.

    \b
    Example:
      angle-adapt journal salvage requests.sqlite saved.sqlite
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import ledger  # noqa: PLC0415

    typer.echo(ledger.salvaged(damaged, new))
