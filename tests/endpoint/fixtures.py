"""The endpoint as tests use it: a process of its own that ends with the test.

In a ``conftest.py``: ``from tests.endpoint.fixtures import endpoint, endpoint_process``.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

CHECKOUT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 30.0  # seconds


class Endpoint:
    """A running endpoint."""

    def __init__(self, process: subprocess.Popen[str], port: int, file: Path) -> None:
        self.process = process
        self.port = port
        self.file = file  # the ledger, as JSON lines
        self.url = f"http://127.0.0.1:{port}/v1"

    def ledger(self, route: str = "chat") -> list[dict[str, Any]]:
        """Return the ledger's lines about a route, in the order of arrival; "" is all."""
        entries: list[dict[str, Any]] = self._ask("GET", "/ledger")
        return [entry for entry in entries if route in ("", entry["route"])]

    def summary(self) -> dict[str, Any]:
        """Return the ledger's counts."""
        counts: dict[str, Any] = self._ask("GET", "/ledger/summary")
        return counts

    def script(self, script: Mapping[str, Any]) -> None:
        """Follow another script from now on; the ledger goes on.

        Raises:
            ValueError: when the script cannot be followed.
        """
        self._ask("POST", "/script", script)

    def reset(self) -> None:
        """Empty the ledger and start the script afresh."""
        self._ask("POST", "/reset", {})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        with closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            value = json.loads(reply.read())
        if reply.status != 200:
            raise ValueError(value["error"]["message"])
        return value


@contextmanager
def start(
    script: Mapping[str, Any] | None = None,
    latency: float | list[float] | None = None,
    file: Path | None = None,
) -> Iterator[Endpoint]:
    """Run an endpoint of its own process; the process ends with the block.

    Args:
        script: what it does; the package's docstring tells the format.
        latency: seconds that each answer takes, or the least and the most.
        file: where the ledger goes; a temporary file otherwise.
    """
    given = dict(script or {}) | ({} if latency is None else {"latency": latency})
    with tempfile.TemporaryDirectory(prefix="endpoint-") as folder:
        written = Path(folder) / "script.json"
        written.write_text(json.dumps(given))
        file = file or Path(folder) / "ledger.jsonl"
        command = [
            sys.executable, "-m", "tests.endpoint", "--port", "0", "--until-eof",
            "--script", str(written), "--ledger", str(file),
        ]  # fmt: skip
        with subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, f"the endpoint ended with code {process.wait(_PATIENCE)}"
                yield Endpoint(process, json.loads(line)["port"], file)
            finally:
                process.kill()


@pytest.fixture(scope="session")
def endpoint_process() -> Iterator[Endpoint]:
    """One endpoint for all tests of the session."""
    with start() as running:
        yield running


@pytest.fixture
def endpoint(endpoint_process: Endpoint) -> Endpoint:
    """The session's endpoint without a script and with an empty ledger."""
    endpoint_process.script({})
    endpoint_process.reset()
    return endpoint_process
