"""The command that answers requests for vectors over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import terminal
from flows.options import Debug, Model


@terminal.reported
def serve(  # noqa: PLR0913 - options of a command line
    model: Model,
    *,
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0: every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8000,
    name: Annotated[str, typer.Option(help="What clients call the model.")] = "",
    key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Variable with the key that clients must send.")
    ] = "",
    max_texts: Annotated[int, typer.Option(min=1, help="Texts in a request.")] = 2048,
    max_chars: Annotated[int, typer.Option(min=1, help="Characters in a text.")] = 100_000,
    max_queue: Annotated[int, typer.Option(min=1, help="Texts that wait, before 429.")] = 8192,
    max_batch: Annotated[
        int, typer.Option(min=0, help="Tokens in a batch; 0: what suits the device.")
    ] = 0,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Answer OpenAI's requests for embeddings with a model.

    POST /v1/embeddings takes what OpenAI's clients send: point their base_url at it. Beside it:
    GET /v1/models, /health, /metrics. Ctrl-C or SIGTERM ends it, once what it has accepted is
    answered.

    \b
    Examples:
      angle-adapt serve latest
      angle-adapt serve my-model --port 9000 --name docs --key-env EMBEDDINGS_KEY
    """  # noqa: D301 - \b keeps the lines as they are
    from flows import serving  # noqa: PLC0415 - see flows.cli

    limits = serving.limits(max_texts, max_chars, max_queue, max_batch)
    serving.serve(model, serving.Address(host, port), serving.Access(name, key_env), limits)
