"""The commands that run trials: `ablate` and `learning-curve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import terminal
from flows.options import Debug, Domain, Ephemeral, Settings
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from flows.trial_plan import Plan

Seeds = Annotated[int, typer.Option(min=1, max=100, help="Trainings of each trial.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for what is written.")]
Yes = Annotated[bool, typer.Option("--yes", help="Start it, however long it takes or costs.")]
Only = Annotated[bool, typer.Option("--plan", help="Show what it would do, and do nothing.")]


@terminal.reported
def ablate(  # noqa: PLR0913 - options of a command line
    domain: Domain,
    *,
    vary: Annotated[
        list[str],
        typer.Option(metavar="NAME,NAME=VALUE,VALUE", help="What to vary; repeatable."),
    ],
    values: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE,VALUE", help="Values of one of them.")
    ] = None,
    seeds: Seeds = 1,
    full: Annotated[bool, typer.Option("--full", help="Every combination of values.")] = False,
    settings: Settings = None,
    out: Out = None,
    yes: Yes = False,
    plan: Only = False,
    ephemeral: Ephemeral = False,
    debug: Debug = False,
) -> None:
    """Measure what settings are worth, each against the domain's own.

    Names: objective, preset, annotator, pooling, template, attention, prompt, rank, depth,
    learning_rate, batch, epochs, sampler, pairs; and any setting with values of yours. Each trial
    is the pipeline with some settings changed; what does not change is taken from the store.

    \b
    Examples:
      angle-adapt ablate my-domain.yaml --vary objective,annotator,pooling,rank --seeds 3
      angle-adapt ablate my-domain.yaml --vary train.warmup=0,0.1,0.3 --plan
      angle-adapt ablate my-domain.yaml --vary rank=8,16 --vary pooling --full -o rank-pooling
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import ablation  # noqa: PLC0415 - see flows.cli

    asked = ablation.Asked(domain, settings or (), vary, values or (), seeds, full)
    prepared = ablation.prepare(asked)
    if _agreed(prepared.plan, len(prepared.trials), yes=yes, only=plan):
        found = ablation.run(prepared, ephemeral=ephemeral, debug=debug)
        folder = ablation.write(found, out)
        typer.echo(f"{ablation.as_text(found)}\n\ntable     {folder / 'ablation.html'}")


@terminal.reported
def learning_curve(  # noqa: PLR0913 - options of a command line
    domain: Domain,
    *,
    shares: Annotated[str, typer.Option(help="Shares of the training pairs.")] = "0.25,0.5,1",
    seeds: Seeds = 1,
    more: Annotated[
        str, typer.Option(metavar="N,N", help="Further labels to look at; else a quarter, twice.")
    ] = "",
    settings: Settings = None,
    out: Out = None,
    yes: Yes = False,
    plan: Only = False,
    ephemeral: Ephemeral = False,
    debug: Debug = False,
) -> None:
    """Tell what more labels would bring, from models trained on less of what there is.

    \b
    Examples:
      angle-adapt learning-curve my-domain.yaml --seeds 3
      angle-adapt learning-curve my-domain.yaml --shares 0.125,0.25,0.5,1 --more 500,2000
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import learning_curve as curves  # noqa: PLC0415 - see flows.cli

    asked = curves.Asked(domain, settings or (), curves.numbers(shares), curves.counts(more), seeds)
    prepared = curves.prepare(asked)
    if _agreed(prepared.plan, len(asked.shares), yes=yes, only=plan):
        found = curves.run(prepared, ephemeral=ephemeral, debug=debug)
        written = curves.write(found, out)
        typer.echo(f"{curves.as_text(found)}\n\ncurve     {written.folder / curves.FILE}")
        for place in written.reports:
            typer.echo(f"report    {place}")


def _agreed(plan: Plan, rows: int, *, yes: bool, only: bool) -> bool:
    """Show the plan; return whether it is to be run.

    Raises:
        ConfigError: when somebody has to agree, and nobody is there.
    """
    from flows import trial_plan  # noqa: PLC0415 - see flows.cli

    typer.echo(trial_plan.described(plan, rows), err=not only)
    if only:
        return False
    reason = trial_plan.consent(plan)
    if reason and not yes:
        if not sys.stdin.isatty():
            message = f"{reason}: add --yes to start it, or vary less"
            raise ConfigError(message)
        typer.confirm(f"{reason}: start it?", abort=True, err=True)
    return True
