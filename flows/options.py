"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Domain = Annotated[str, typer.Argument(metavar="DOMAIN.yaml", help="A domain file.")]
Model = Annotated[str, typer.Argument(help="A model folder, the id of a run, or latest.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.SETTING=VALUE", help="Change a setting; repeatable."),
]
Ephemeral = Annotated[
    bool, typer.Option("--ephemeral", help="Use a Prefect server that ends with the run (CI).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks, and what Prefect logs.")]
