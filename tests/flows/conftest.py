"""One real Prefect server for all tests of the flows, on the loopback interface."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from flows import server
from pipeline import graph
from pipeline.settings import Home

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


class Ran(NamedTuple):
    """What a finished command line left."""

    code: int
    out: str
    err: str


def stop(folder: Path) -> None:
    os.kill(json.loads((folder / "server.json").read_text())["pid"], signal.SIGKILL)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's URL of a local server, started as the command line starts it."""
    folder = tmp_path_factory.mktemp("server") / "prefect"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        url = server.start(folder)
        for name, value in server.DEFAULTS.items():
            patch.setenv(name, value)
        patch.setenv("PREFECT_HOME", str(folder))
        patch.setenv("PREFECT_API_URL", url)
        patch.syspath_prepend(str(HERE))
        try:
            yield url
        finally:
            if "prefect" in sys.modules:
                importlib.import_module("flows.history").send()
            stop(folder)


class Workplace:
    """A domain over one text file, an empty store, and the log of stages that really ran."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.text = root / "text.txt"
        self.text.write_text("Opens a file and returns it.\n", encoding="utf-8")
        self.domain = root / "tiny.yaml"
        self.domain.write_text(
            f"domain: tiny\ncollect: {{source: files, path: {self.text}}}\n", encoding="utf-8"
        )
        self.log = root / "log.txt"
        self.log.touch()

    def ran(self) -> list[str]:
        """Return the stages that ran since the last call."""
        names = self.log.read_text().split()
        self.log.write_text("")
        return names

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a process that works here."""
        paths = {"ANGLE_ADAPT_HOME": str(self.home.root), "TINY_LOG": str(self.log)}
        imports = os.pathsep.join([str(CHECKOUT), str(HERE)])
        return {**os.environ, **paths, "PYTHONPATH": imports, **more}

    def popen(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the command line over the small stages."""
        return subprocess.Popen(
            [sys.executable, "-m", "tiny", *arguments],
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str, **more: str) -> Ran:
        """Run the command line over the small stages."""
        with self.popen(*arguments, **more) as process:
            out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)


@pytest.fixture
def migrated(api: str, workplace: Workplace) -> Path:  # noqa: ARG001 - it made the database
    """A folder for another server, its database up to date, which saves half a start."""
    folder = workplace.home.prefect
    folder.mkdir(mode=0o700, parents=True)
    source = sqlite3.connect(Path(os.environ["PREFECT_HOME"]) / "prefect.db")
    target = sqlite3.connect(folder / "prefect.db")
    with closing(source), closing(target):
        source.backup(target)
        target.execute("delete from task_run")
        target.execute("delete from flow_run")
        target.commit()
    return folder


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def seen(api: str) -> ModuleType:  # noqa: ARG001 - Prefect reads the environment it prepares
    """What the server knows, as functions."""
    return importlib.import_module("tiny.seen")


@pytest.fixture
def adapt(
    seen: ModuleType,  # noqa: ARG001 - as above
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """The flow over the small stages, in this process, in a Prefect home of its own."""
    flow = importlib.import_module("flows.adapt").adapt
    settings = importlib.import_module("prefect.settings")
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(workplace.home.root))
    monkeypatch.setenv("TINY_LOG", str(workplace.log))
    monkeypatch.setattr(graph, "STAGES", importlib.import_module("tiny").STAGES)

    def run(*overrides: str, team: str = "a") -> Any:
        home = {settings.PREFECT_HOME: tmp_path / team}
        quick = {settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with settings.temporary_settings(home | quick):
            return flow(str(workplace.domain), overrides, return_state=True)

    return run
