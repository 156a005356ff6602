"""The server as tests and benchmarks use it: a process of its own that ends with the block."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).resolve().parents[3]
_PATIENCE: Final = 30.0  # seconds


class RunningHub:
    """A server that runs; see `tests.sources.github.server` for what it is told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def holds(self, repositories: dict[str, Any], **more: Any) -> None:
        """Set what the server holds; what it was asked is forgotten."""
        self._ask("PUT", "/control/state", {"repositories": repositories, **more})

    def asked(self) -> list[dict[str, Any]]:
        """Return what was asked since the state was set."""
        found: list[dict[str, Any]] = self._ask("GET", "/control/asked")
        return found

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        with closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            return json.loads(connection.getresponse().read())


def at(second: int) -> str:
    """Return a time of change."""
    return f"2024-05-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@contextmanager
def start() -> Iterator[RunningHub]:
    """Run a server that holds nothing yet."""
    command = [sys.executable, "-m", "tests.sources.github"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield RunningHub(int(process.stdout.readline()))
        finally:
            process.kill()
