"""A key is in the header of a request and nowhere else, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from pipeline.annotation import stage
from pipeline.artifacts import Reference, Store
from pipeline.chat import pace, trips
from pipeline.config import DomainConfig, parse
from pipeline.errors import AngleAdaptError
from pipeline.records import Pair, pair_id
from pipeline.settings import Home
from tests.chat.asking import closed_port
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import CHECKOUT, Endpoint, endpoint, endpoint_process

__all__ = ["endpoint", "endpoint_process"]

CANARY: Final = "sk-canary-in-the-coal-mine-0123456789"
TEXTS: Final = ("Open a socket.", "Read bytes from a socket.", "Sort the list.")
# Too slow for a test of many runs: they wait for what the endpoint asks.
SLOW: Final = {"rate_limited", "rate_limited_date", "rate_limited_reset", "rate_limited_long",
               "unavailable_retry"}  # fmt: skip
PATHS: Final = [name for name in FAULTS if name not in SLOW]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trips, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(pace, "FIRST_BREAK", 0.02)
    monkeypatch.setattr(pace, "GIVE_UP_SECONDS", 0.3)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["environment", "file"])
def key(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """The name under which the key is to be found, in one place or in the other."""
    if request.param == "environment":
        monkeypatch.setenv("CANARY", CANARY)
    else:
        (tmp_path / ".env").write_text(f"CANARY={CANARY}\n")
    yield "CANARY"


def config(url: str, key: str, **more: Any) -> DomainConfig:
    chat = {"base_url": url, "model": "m", "key": key, "timeout": 0.3, "price_input": 1,
            "price_output": 1} | more  # fmt: skip
    label = {"annotators": ["char_tfidf", "gpt"], "budget_usd": 1}
    return parse({"domain": "canary", "chat": {"gpt": chat}, "label": label, "evaluate": {}})


def mined(store: Store) -> dict[str, Reference]:
    pairs = [
        Pair(id=pair_id(a, b), sentence1=a, sentence2=b, strategy="test", document1="d1",
             document2="d2")
        for number, a in enumerate(TEXTS) for b in TEXTS[number + 1 :]
    ]  # fmt: skip
    with store.create("pairs") as draft:
        draft.write_rows(pairs, Pair)
    return {"mine": draft.reference}


def written(folder: Path) -> Iterator[str]:
    """Give everything in the files of a folder, tables unpacked."""
    for file in folder.rglob("*"):
        if file.is_file() and file.name != ".env":
            yield file.read_bytes().decode("latin-1")
            if file.suffix == ".parquet":
                yield json.dumps(pq.read_table(file).to_pylist(), default=str)


class Watch:
    """Runs the stage, and knows everything that it left: files, logs, output and exceptions."""

    def __init__(self, folder: Path, logs: pytest.LogCaptureFixture, output: Any) -> None:
        self.folder, self.store = folder, Store(Home(folder / "home"))
        self._logs, self._output = logs, output
        self.error = ""
        logs.set_level(logging.DEBUG)

    def run(self, chosen: DomainConfig) -> None:
        """Run the stage; what it raises is part of the trace."""
        try:
            stage.run(mined(self.store), chosen, self.store)
        except AngleAdaptError as caught:
            self.error = repr(caught) + "".join(traceback.format_exception(caught))

    def shows(self, secret: str) -> bool:
        records = "".join(repr(vars(record)) for record in self._logs.records)
        output = "".join(self._output.readouterr())
        parts = [*written(self.folder), self._logs.text, records, output, self.error]
        return any(secret in part for part in parts)


@pytest.fixture
def watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Watch:
    return Watch(tmp_path, caplog, capfd)


def test_it_is_nowhere_when_all_goes_well(endpoint: Endpoint, key: str, watch: Watch) -> None:
    endpoint.script({"key": CANARY})
    for _ in range(2):
        watch.run(config(endpoint.url, key))
        assert not watch.shows(CANARY)
    assert endpoint.summary()["answered"] == {"good": 6}  # so the key did arrive
    assert watch.shows("Open a socket.")  # and the search finds what there is


@pytest.mark.parametrize("name", PATHS)
def test_it_is_nowhere_when_something_goes_wrong(
    name: str, endpoint: Endpoint, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    endpoint.script({"rules": [{"fault": name}]})
    watch.run(config(endpoint.url, "CANARY"))
    assert endpoint.summary()["asked"] > 0
    assert not watch.shows(CANARY)


def test_there_are_twenty_ways_to_fail_at_least() -> None:
    assert len([name for name in PATHS if name not in ("slow", "close_after")]) >= 20


WHERE: Final = {
    "nobody listens": {"base_url": f"http://127.0.0.1:{closed_port()}/v1"},
    "no such host": {"base_url": "http://no-such-host.invalid/v1"},
    "no such port": {"base_url": "http://127.0.0.1:99999/v1"},
    "no URL": {"base_url": "http://[::1/v1"},
    "no such variable": {"key": "NO_SUCH_VARIABLE"},
    "no price": {"model": "unknown", "price_input": None, "base_url": "https://x.invalid/v1"},
}


@pytest.mark.parametrize("name", WHERE)
def test_it_is_nowhere_when_the_settings_are_wrong(name: str, key: str, watch: Watch) -> None:
    chosen = config("http://127.0.0.1:9/v1", key)
    chat = chosen.chat["gpt"].model_copy(update=WHERE[name])
    watch.run(chosen.model_copy(update={"chat": {"gpt": chat}}))
    assert watch.error.count("Error") >= 1
    assert not watch.shows(CANARY)


@pytest.mark.parametrize("value", [f"{CANARY}\n{CANARY}", f"{CANARY}ü", f"{CANARY} x"])
def test_a_key_that_can_be_none_is_not_shown_either(
    value: str, endpoint: Endpoint, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", value)
    watch.run(config(endpoint.url, "CANARY"))
    assert "holds characters that no key has" in watch.error
    assert not watch.shows(CANARY)


def corpus(folder: Path, url: str) -> Path:
    """Write a domain file with enough text for a few pairs."""
    rows = [f"The {word} number {n} opens a {word} and reads it." for n in range(60)
            for word in ("file", "socket", "queue")]  # fmt: skip
    (folder / "text.csv").write_text("text\n" + "\n".join(rows))
    (folder / "domain.yaml").write_text(
        "domain: canary\n"
        f"collect: {{source: files, path: {folder / 'text.csv'}}}\n"
        "mine: {pairs: 10, texts: 60, shares: {random: 1}}\n"
        "label: {annotators: [char_tfidf, gpt]}\n"
        f"chat: {{gpt: {{base_url: '{url}', model: m, key: CANARY}}}}\n"
    )
    return folder / "domain.yaml"


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_command_line_does_not_show_or_write_it(
    command: str, endpoint: Endpoint, tiny_backbone: Path, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "echoed_key"}]})
    domain = corpus(tmp_path, endpoint.url)
    home = tmp_path / "home"
    environment = {
        **os.environ, "CANARY": CANARY, "ANGLE_ADAPT_HOME": str(home), "PYTHONPATH": str(CHECKOUT),
        "PREFECT_API_URL": "", "PREFECT_LOGGING_LEVEL": "DEBUG",
    }  # fmt: skip
    arguments = [command, str(domain), "--debug", "--set", f"encoder.backbone={tiny_backbone}"]
    try:
        ran = subprocess.run(
            [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
    finally:
        for file in home.glob("prefect/server.json"):
            os.kill(json.loads(file.read_text())["pid"], 9)
    assert CANARY not in ran.stdout + ran.stderr
    assert not any(CANARY in part for part in written(tmp_path))
    if command == "run":
        assert "it refuses the key: set CANARY to a valid one" in ran.stderr
        assert endpoint.summary()["answered"].keys() == {"echoed_key"}
    else:
        assert ran.returncode == 0
