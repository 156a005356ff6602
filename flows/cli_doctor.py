"""The command that examines the machine, or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import terminal
from flows.options import Debug


@terminal.reported
def doctor(
    model: Annotated[
        str | None, typer.Argument(help="A model folder, the id of a run, or latest.")
    ] = None,
    *,
    export: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an export to hold against the model; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Check what a run needs on this machine, or that a model gives the vectors it should.

    Every problem comes with what to do about it. The exit code is 1 when there is one.

    \b
    Examples:
      angle-adapt doctor
      angle-adapt doctor latest
      angle-adapt doctor my-model --export my-model-onnx --json
    """  # noqa: D301 - \b keeps the lines as they are
    if export and model is None:
        message = "--export is held against a model: name it, as in angle-adapt doctor MODEL"
        raise typer.BadParameter(message)
    if model is None and not as_json:
        _machine()
        return
    from flows import doctor_model  # noqa: PLC0415 - imports torch

    findings = []
    for found in doctor_model.examine(model, export or ()) if model else doctor_model.machine():
        findings.append(found)
        if not as_json:
            typer.echo(doctor_model.line(found))
    if as_json:
        typer.echo(doctor_model.as_json(findings))
    if any(found.state == "problem" for found in findings):
        raise typer.Exit(1)


def _machine() -> None:
    from flows import doctor as checks  # noqa: PLC0415 - so that --help is quick

    problems = 0
    for finding in checks.examine():
        problems += bool(finding.remedy)
        typer.echo(str(finding))
    if problems:
        raise typer.Exit(1)
