"""What tests of batches are given: a journal, short pauses, and a look at the endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from pipeline.chat.batches import keeper
from tests.endpoint.fixtures import Endpoint


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "requests.sqlite")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses after failures, and the grace of a list that is late, as short as a test."""
    monkeypatch.setattr(keeper, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 0.3)


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=endpoint.url, max_retries=0) as made:
        yield made
