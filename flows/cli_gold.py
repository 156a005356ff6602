"""The command that makes a gold set of the duplicates a source knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import terminal
from flows.options import Debug, Domain, Settings


@terminal.reported
def gold(  # noqa: PLR0913 - options of a command line
    domain: Domain,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="The gold file, .csv.")],
    negatives: Annotated[
        float, typer.Option(min=0, max=100, help="Pairs that are no duplicates, for each that is.")
    ] = 1.0,
    hard: Annotated[
        float, typer.Option(min=0, max=1, help="Share of them that look alike, by BM25.")
    ] = 0.5,
    dev: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the duplicates in dev.")
    ] = 0.33,
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs.")] = 13,
    settings: Settings = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make a gold set of the issues or questions that their site calls duplicates.

    Duplicates score full marks; pairs of one repository that are no duplicates score nothing. Whole
    repositories go to dev or test. Name the file in evaluate.gold to measure with it.

    \b
    Examples:
      angle-adapt gold my-issues.yaml -o gold.csv
      angle-adapt gold my-issues.yaml -o gold.csv --set "collect.github.repositories=[a/b, c/d]"
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import gold as making  # noqa: PLC0415 - see flows.cli
    from pipeline.sources.duplicates import Choices  # noqa: PLC0415

    choices = Choices(negatives=negatives, hard=hard, dev=dev, seed=seed)
    typer.echo(making.make(making.Request(domain, settings or (), out, choices)))
