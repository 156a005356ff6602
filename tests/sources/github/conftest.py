"""The server as tests use it: one process for all of them, and shelves of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings, GitHubSettings
from pipeline.sources import github
from tests.sources.github.running import CHECKOUT, RunningHub, at, start

__all__ = ["CHECKOUT", "TOKEN", "Hub", "at", "issues"]

TOKEN: Final = "TEST_GITHUB_TOKEN"  # noqa: S105 - the name of a variable


class Hub(RunningHub):
    """The running server, and the source pointed at it."""

    def __init__(self, port: int, shelf: Path) -> None:
        super().__init__(port)
        self.shelf = shelf

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


@pytest.fixture(scope="session")
def hub_port() -> Iterator[int]:
    with start() as running:
        yield running.port


@pytest.fixture
def hub(hub_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The server, empty, and a token that it knows."""
    monkeypatch.setenv(TOKEN, "good")
    running = Hub(hub_port, tmp_path / "shelf")
    running.holds({})
    return running


def issues(count: int, *, start: int = 1) -> list[dict[str, Any]]:
    """Return issues that changed one after another, each with a text of its own."""
    return [
        {"number": n, "title": f"Title {n}", "body": f"Body of number {n}.", "updated_at": at(n)}
        for n in range(start, start + count)
    ]
