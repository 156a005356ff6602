"""Starts the server: ``python -m tests.sources.github``; its port is the first line it prints."""

from __future__ import annotations

import sys
import threading
from http.server import ThreadingHTTPServer

from tests.sources.github.server import Handler, State


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.state = State()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
