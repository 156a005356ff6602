"""docs/serving.md: what it shows works against a real server."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.serving.conftest import CHECKOUT, KEY, Command

TEXT = (CHECKOUT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
CURL = shutil.which("curl") or ""
COMMANDS = [body.strip() for language, body in BLOCKS if not language]


def at(server: Command, shown: str) -> str:
    """Return what the page shows, for the server and the key of the tests."""
    url = f"http://127.0.0.1:{server.port}"
    return shown.replace("http://127.0.0.1:8000", url).replace("my-model", "tiny-model")


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_clients_it_shows_work(server: Command, number: int) -> None:
    names: dict[str, Any] = {}
    code = at(server, PYTHON[number]).replace('"none"', repr(KEY))
    exec(compile(code, "docs/serving.md", "exec"), names)  # noqa: S102 - it is ours
    assert np.linalg.norm(names["vectors"], axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert len(PYTHON) == 2


@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_the_request_it_shows_works_as_does_the_one_that_the_server_shows(server: Command) -> None:
    (shown,) = [command for command in COMMANDS if command.startswith("curl")]
    own = server.shown[1].strip().replace('"Authorization: Bearer $SERVING_TEST_KEY"', "X")
    page = [*shlex.split(at(server, shown)), "-H", "X"]
    for shown_words in (page, shlex.split(own)):
        words = [f"Authorization: Bearer {KEY}" if word == "X" else word for word in shown_words]
        answer = subprocess.run([CURL, "-s", *words[1:]], capture_output=True, check=True)
        assert json.loads(answer.stdout)["model"] == "tiny-model", answer.stdout


def test_the_options_it_names_are_there() -> None:
    told = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for option in re.findall(r"(--[a-z][a-z-]+)", TEXT):
        assert option in told, option
    assert len(told.splitlines()) < 40
    commands = [shlex.split(one) for one in COMMANDS if one.startswith("angle-adapt")]
    assert [words[1] for words in commands] == ["serve", "serve"]
    assert "evaluation_serving" in TEXT
    assert (Path(CHECKOUT) / "benchmarks" / "evaluation_serving.py").is_file()
