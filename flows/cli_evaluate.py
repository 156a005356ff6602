"""The command that measures a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import terminal
from flows.options import Debug


@terminal.reported
def evaluate(  # noqa: PLR0913 - options of a command line
    model: Annotated[
        str, typer.Argument(help="A model folder, the id of a run, latest, or a backbone.")
    ],
    *,
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]PATH", help="A set of the domain; repeatable."),
    ] = None,
    general: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]PATH", help="A set of what must not be forgotten."),
    ] = None,
    domain: Annotated[
        Path | None, typer.Option(help="A domain file whose gold pairs and sets are used.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="The model to compare with; an adapter's backbone by default.")
    ] = "",
    against: Annotated[
        list[str] | None, typer.Option(help="A further model to compare with; repeatable.")
    ] = None,
    mteb: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Measure with MTEB instead: a task or a set's path."),
    ] = None,
    max_score: Annotated[float, typer.Option(help="The score that means same meaning.")] = 1.0,
    split: Annotated[str, typer.Option(help="Rows whose column split says so.")] = "",
    group: Annotated[str, typer.Option(help="Column of sub-sets to measure apart.")] = "",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="JSON file; with --mteb a folder.")
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Measure a model, with intervals and a verdict against its base.

    A set is a table of scored pairs (CSV, TSV, JSON, JSONL, Parquet), a folder in BEIR's layout, or
    hf://owner/name. General text that comes with the program is measured too. The exit code is 1
    when the verdict is regress.

    \b
    Examples:
      angle-adapt evaluate latest --on questions=pairs.csv --max-score 5
      angle-adapt evaluate my-model --on search=my-beir-folder --against sentence-transformers/LaBSE
      angle-adapt evaluate my-model --mteb my-pairs.csv -o results
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import evaluating, mteb_evaluation  # noqa: PLC0415 - see flows.cli

    if mteb:
        scores = mteb_evaluation.run(model, mteb, out or Path("mteb-results"), max_score)
        typer.echo(mteb_evaluation.as_text(scores))
        return
    options = {"max_score": max_score, "split": split, "group": group}
    summary = evaluating.evaluate(
        evaluating.Request(model, base, against or (), domain, on or (), general or (), options)
    )
    typer.echo(evaluating.as_text(summary))
    if out:
        evaluating.write(summary, out)
    if summary["base"] and summary["verdict"] == "regress":
        raise typer.Exit(1)
