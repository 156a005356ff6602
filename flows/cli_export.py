"""The command that writes a model in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows import terminal
from flows.options import Debug, Model

FORMATS = "sentence-transformers, peft, onnx or gguf"


@terminal.reported
def export(  # noqa: PLR0913 - options of a command line
    model: Model,
    *,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{FORMATS}.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the export; a new one.")],
    merged: Annotated[
        bool | None,
        typer.Option("--merged/--adapter", help="Adapters in the weights, or beside a backbone."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="f32, f16, q8_0 (gguf) or int8 (onnx); the first by default.")
    ] = "",
    push: Annotated[
        str, typer.Option(metavar="NAME", help="Upload it to the Hub as NAME; needs HF_TOKEN.")
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="Make a new NAME public.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write a model in the format of another program, and measure that it is the same.

    The export's vectors of a few texts, empty and too long ones among them, are compared with the
    model's; the folder appears only when they are equal.

    \b
    Examples:
      angle-adapt export latest --format sentence-transformers -o my-model
      angle-adapt export latest --format gguf --precision q8_0 -o my-model-gguf
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import models  # noqa: PLC0415 - see flows.cli
    from pipeline.export.formats import hub, writing  # noqa: PLC0415
    from pipeline.settings import home  # noqa: PLC0415

    form = {None: "", True: "merged", False: "adapter"}[merged]
    request = writing.settle(writing.Request(format=format_, form=form, precision=precision))
    if push:
        hub.check(push)
    found = writing.export(models.find(model), request, out, home())
    typer.echo(described(found, out))
    if push:
        typer.echo(hub.push(out, push, private=not public))


def described(manifest: dict[str, Any], out: Path) -> str:
    """Return what was written and how equal it is, in two lines."""
    parity = manifest["parity"]
    what = ", ".join(manifest[name] for name in ("format", "form", "precision"))
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return (
        f"{out}: {what}; {size / 1e6:,.1f} MB\n"
        f"lowest cosine with the model's vectors: {parity['lowest']:.5f} "
        f"over {parity['texts']} texts (at least {parity['bound']})"
    )
