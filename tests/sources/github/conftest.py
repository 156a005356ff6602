"""The server as tests use it: one process for all of them, and shelves of their own."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings, GitHubSettings
from pipeline.sources import github

CHECKOUT: Final = Path(__file__).resolve().parents[3]
TOKEN: Final = "TEST_GITHUB_TOKEN"  # noqa: S105 - the name of a variable


class Hub:
    """The running server, and the source pointed at it."""

    def __init__(self, port: int, shelf: Path) -> None:
        self.port, self.shelf = port, shelf
        self.url = f"http://127.0.0.1:{port}"

    def holds(self, repositories: dict[str, Any], **more: Any) -> None:
        """Set what the server holds; what it was asked is forgotten."""
        self._ask("PUT", "/control/state", {"repositories": repositories, **more})

    def asked(self) -> list[dict[str, Any]]:
        """Return what was asked since the state was set."""
        found: list[dict[str, Any]] = self._ask("GET", "/control/asked")
        return found

    def settings(self, *repositories: str, **more: Any) -> CollectSettings:
        hub = {"repositories": repositories, "base_url": self.url, "token": TOKEN, **more}
        return CollectSettings(source="github", github=GitHubSettings.model_validate(hub))

    def collect(
        self, *repositories: str, **more: Any
    ) -> tuple[dict[str, Document], dict[str, str]]:  # fmt: skip
        """Refresh and read; return the documents and the reasons of what was dropped, by name."""
        settings = self.settings(*repositories, **more)
        github.refresh(settings, self.shelf)
        return self.read(settings)

    def read(self, settings: CollectSettings) -> tuple[dict[str, Document], dict[str, str]]:
        found = list(github.read(settings, self.shelf))
        documents = {one.name: one for one in found if isinstance(one, Document)}
        return documents, {one.record_id: one.reason for one in found if isinstance(one, Dropped)}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            return json.loads(connection.getresponse().read())


@pytest.fixture(scope="session")
def hub_port() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.sources.github"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
def hub(hub_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The server, empty, and a token that it knows."""
    monkeypatch.setenv(TOKEN, "good")
    running = Hub(hub_port, tmp_path / "shelf")
    running.holds({})
    return running


def at(second: int) -> str:
    """Return a time of change."""
    return f"2024-05-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def issues(count: int, *, start: int = 1) -> list[dict[str, Any]]:
    """Return issues that changed one after another, each with a text of its own."""
    return [
        {"number": n, "title": f"Title {n}", "body": f"Body of number {n}.", "updated_at": at(n)}
        for n in range(start, start + count)
    ]
