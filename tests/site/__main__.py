"""Starts the site: ``python -m tests.site --pages 50``; it ends when standard input does."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import sys

from tests.site.pages import State
from tests.site.server import Site


async def serve(given: argparse.Namespace) -> None:
    site = Site(State(pages=given.pages))
    context = None
    if given.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given.certificate)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=context)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or ended.set())
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.site")
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--certificate", help="speak TLS with this PEM file: key and certificate")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
