"""Keys of chat models from Prefect's Secret blocks, on a real server."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import parse

KEY = "sk-canary-7d1f3c"
NAME = "CANARY_API_KEY"


@pytest.fixture
def domain(workplace: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    text = workplace.domain.read_text()
    workplace.domain.write_text(f"{text}chat: {{judge: {{model: m, key: {NAME}}}}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(NAME, "placeholder")  # so that what the flow sets is undone
    monkeypatch.delenv(NAME)
    return workplace


@pytest.fixture
def block(api: str) -> None:  # noqa: ARG001 - the block is kept by that server
    secret = importlib.import_module("prefect.blocks.system").Secret
    secret(value=KEY).save("canary-api-key", overwrite=True)


@pytest.mark.usefixtures("block")
def test_a_key_comes_from_a_secret_block_and_is_written_nowhere(
    adapt: Callable[..., Any], domain: Any, seen: Any, tmp_path: Path
) -> None:
    state = adapt()
    assert os.environ[NAME] == KEY
    seen.task_runs(state)
    places = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(places) > 10
    assert not [path for path in places if KEY.encode() in path.read_bytes()]
    assert KEY not in str(seen.artifacts(state))
    assert domain.ran() == ["collect", "mine", "train", "evaluate"]


@pytest.mark.usefixtures("block")
def test_a_key_in_the_environment_goes_before_the_block(
    adapt: Callable[..., Any], domain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, "from the environment")
    adapt()
    assert os.environ[NAME] == "from the environment"
    assert domain.ran()


def test_without_a_block_the_run_goes_on_until_somebody_needs_the_key(
    adapt: Callable[..., Any], domain: Any
) -> None:
    text = domain.domain.read_text().replace(NAME, "NOBODY_HAS_THIS_KEY")
    domain.domain.write_text(text)
    assert adapt().name == "Completed"
    assert "NOBODY_HAS_THIS_KEY" not in os.environ


@pytest.mark.usefixtures("block", "seen")
@pytest.mark.parametrize(("source", "token"), [("github", KEY), ("files", None)])
def test_a_token_for_github_comes_from_a_block_too(
    monkeypatch: pytest.MonkeyPatch, source: str, token: str | None
) -> None:
    monkeypatch.setenv(NAME, "placeholder")
    monkeypatch.delenv(NAME)
    collect = {"source": source, "github": {"token": NAME}}
    load = importlib.import_module("flows.secret_blocks").load
    load(parse({"domain": "issues", "collect": collect}))
    assert os.environ.get(NAME) == token
