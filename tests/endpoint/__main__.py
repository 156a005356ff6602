"""Starts the endpoint: ``python -m tests.endpoint --port 0 --script FILE.json``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
from pathlib import Path

from tests.endpoint.faults import FAULTS
from tests.endpoint.script import Script, ScriptError, parse
from tests.endpoint.server import Server, listen


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.endpoint")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--ledger", type=Path, help="file to append the ledger to, as JSON lines")
    parser.add_argument("--faults", action="store_true", help="print the table of faults")
    parser.add_argument(
        "--until-eof", action="store_true", help="end when standard input does, with its parent"
    )
    return parser.parse_args()


def table() -> str:
    """Return the table of faults: name, whether it is billed, what happens."""
    rows = []
    for name, fault in FAULTS.items():
        options = ", ".join(f"{key} {json.dumps(value)}" for key, value in fault.options.items())
        told = f"{fault.does} ({options})" if options else fault.does
        rows.append(f"    {name:21}{'yes' if fault.billed else 'no':5}{told}\n")
    return "".join(rows)


async def serve(given: argparse.Namespace) -> None:
    """Serve until standard input ends, or for ever."""
    script = parse(json.loads(given.script.read_text())) if given.script else Script()
    server = await listen(Server(script, given.ledger), given.port)
    port = server.sockets[0].getsockname()[1]
    about = {"port": port, "url": f"http://127.0.0.1:{port}/v1", "pid": os.getpid()}
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()
    gc.freeze()
    ended = asyncio.Event()

    def hear() -> None:
        if not os.read(0, 4096):
            ended.set()

    if given.until_eof:
        asyncio.get_running_loop().add_reader(0, hear)
    await ended.wait()


def main() -> None:
    """Run the command line."""
    given = arguments()
    if given.faults:
        sys.stdout.write(table())
        return
    try:
        asyncio.run(serve(given))
    except ScriptError as error:
        sys.exit(f"the script cannot be followed: {error}")


if __name__ == "__main__":
    main()
