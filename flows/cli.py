"""The command line. Each command imports what it needs when it runs, so `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import (
    cli_ablate,
    cli_doctor,
    cli_evaluate,
    cli_export,
    cli_gold,
    cli_labels,
    cli_serve,
    terminal,
)
from flows.options import Debug, Domain, Ephemeral, Model, Settings
from pipeline import __version__

app = typer.Typer(
    name="angle-adapt",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"angle-adapt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn your own unlabelled text into a text-embedding model that is measurably better on it.

    Start with:  angle-adapt run data/domains/python-stdlib.yaml
    """


@app.command()
@terminal.reported
def run(
    domain: Domain,
    settings: Settings = None,
    *,
    ephemeral: Ephemeral = False,
    debug: Debug = False,
) -> None:
    """Adapt a model to a domain, from text to verdict.

    The stages are collect, clean, mine, label, curate, train, evaluate and publish. Those whose
    settings and inputs did not change are taken from the store. An interrupted run continues when
    the same command is run again.

    \b
    Examples:
      angle-adapt run data/domains/python-stdlib.yaml
      angle-adapt run my-domain.yaml --set train.epochs=1 --set mine.pairs=3000
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import execution  # noqa: PLC0415 - see the module's docstring, as all below

    record = execution.execute(domain, settings or (), ephemeral=ephemeral, debug=debug)
    typer.echo(terminal.summary(record))


@app.command()
@terminal.reported
def plan(domain: Domain, settings: Settings = None, *, debug: Debug = False) -> None:  # noqa: ARG001
    """Show what a run would do, and how long it would take.

    Collects and cleans the text, which the run then finds in the store; loads no model.

    \b
    Example:
      angle-adapt plan data/domains/python-stdlib.yaml --set mine.pairs=3000
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import planning  # noqa: PLC0415

    typer.echo(planning.text(planning.make(domain, settings or ())))


@app.command()
@terminal.reported
def train(  # noqa: PLR0913 - options of a command line
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="A table of labelled pairs.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the new model.")],
    dev: Annotated[
        Path | None, typer.Option(help="Scored pairs that choose the best step.")
    ] = None,
    max_score: Annotated[float, typer.Option(help="The score that means same meaning.")] = 1.0,
    settings: Settings = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a model on labelled pairs of your own.

    PAIRS is .csv, .tsv, .jsonl, .json or .parquet. Its rows may mix three formats, told apart by
    their columns: sentence1, sentence2, score; or query, positive; or query, positive, negative.
    An interrupted training continues when the same command is run again.

    \b
    Examples:
      angle-adapt train pairs.csv -o my-model --dev dev.csv
      angle-adapt train pairs.jsonl -o my-model --set train.preset=paper --set train.epochs=1
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import training  # noqa: PLC0415

    found = training.train(pairs, dev, out, settings or (), max_score)
    typer.echo(training.described(found, out))


@app.command()
@terminal.reported
def encode(
    model: Model,
    file: Annotated[Path | None, typer.Argument(help="One text per line; stdin if absent.")] = None,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output, .npy or .parquet.")],
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write the vector of every line of a file.

    The output is an array (.npy), or a table with the columns text and vector (.parquet).

    \b
    Examples:
      angle-adapt encode latest texts.txt -o vectors.npy
      angle-adapt encode latest -o vectors.parquet < texts.txt
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import encoding  # noqa: PLC0415

    texts = encoding.read_texts(None if file == Path("-") else file)
    vectors = encoding.encode_to(model, texts, out)
    typer.echo(f"{out}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} dimensions", err=True)


@app.command()
@terminal.reported
def similarity(model: Model, text1: str, text2: str, *, debug: Debug = False) -> None:  # noqa: ARG001
    """Print how similar two texts are to a model.

    This is the cosine of their vectors, from -1 to 1.

    \b
    Example:
      angle-adapt similarity latest "Open a file." "Return a file object."
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import encoding  # noqa: PLC0415

    typer.echo(f"{encoding.similarity(model, text1, text2):.4f}")


@app.command()
@terminal.reported
def runs(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print every record as JSON.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """List all runs with their status and verdict.

    \b
    Examples:
      angle-adapt runs
      angle-adapt runs --json | python -m json.tool
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import listing  # noqa: PLC0415
    from pipeline.runs import list_runs  # noqa: PLC0415

    records = list_runs()
    typer.echo(listing.as_json(records) if as_json else listing.as_text(records))


@app.command()
@terminal.reported
def ui(
    *,
    browser: Annotated[bool, typer.Option(help="Open the pages in a browser.")] = True,
    debug: Debug = False,
) -> None:
    """Show the pages with every run in a browser.

    Starts the local Prefect server if it does not run.

    \b
    Example:
      angle-adapt ui --no-browser
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import server  # noqa: PLC0415
    from pipeline.settings import home  # noqa: PLC0415

    url = server.ui_url(server.connect(home().prefect, quiet=not debug))
    typer.echo(url)
    if browser:
        typer.launch(url)


# Those of other files, after the ones above.
app.command("evaluate", short_help="Measure a model, with a verdict.")(cli_evaluate.evaluate)
app.command("ablate", short_help="Measure what settings are worth.")(cli_ablate.ablate)
app.command("learning-curve", short_help="Tell what more labels would bring.")(
    cli_ablate.learning_curve
)
app.command("export", short_help="Write a model for another program.")(cli_export.export)
app.command("serve", short_help="Answer OpenAI's requests for embeddings.")(cli_serve.serve)
app.command("gold", short_help="Make a gold set of known duplicates.")(cli_gold.gold)
app.command("doctor", short_help="Check this machine, or a model.")(cli_doctor.doctor)
app.add_typer(cli_labels.review, name="review", short_help="Have people grade pairs.")
app.add_typer(cli_labels.journal, name="journal", short_help="What chat models were asked.")


def main() -> None:
    """Run the command line."""
    terminal.end_like_interrupts()
    app(prog_name="angle-adapt")


if __name__ == "__main__":
    main()
