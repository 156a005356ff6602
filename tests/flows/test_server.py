"""The local Prefect server: started once, reused, and started again when it is gone."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest

from flows import server
from pipeline.errors import ResourceError


def get(url: str) -> dict[str, object]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_a_running_server_is_reused(api: str) -> None:
    folder = Path(os.environ["PREFECT_HOME"])
    assert server.running(folder) == api
    assert server.start(folder) == api


def test_the_pages_ask_the_api_where_it_is_and_advertise_nothing(api: str) -> None:
    assert get(f"{server.ui_url(api)}/ui-settings")["api_url"] == api
    settings = get(f"{api}/admin/settings")
    assert settings["server"]["analytics_enabled"] is False  # type: ignore[index]
    assert settings["server"]["ui"]["show_promotional_content"] is False  # type: ignore[index]


def test_only_the_owner_can_read_the_folder_of_the_server(api: str) -> None:
    assert api
    assert Path(os.environ["PREFECT_HOME"]).stat().st_mode & 0o077 == 0


def test_a_server_that_died_is_started_again_at_the_same_address(migrated: Path) -> None:
    first = server.start(migrated)
    state = json.loads((migrated / "server.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    os.waitpid(state["pid"], 0)
    assert server.running(migrated) == ""
    try:
        assert server.start(migrated) == first
    finally:
        os.kill(json.loads((migrated / "server.json").read_text())["pid"], signal.SIGKILL)


def test_a_server_that_cannot_start_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "nonsense://")
    monkeypatch.setattr(server, "STARTUP_SECONDS", 30.0)
    with pytest.raises(ResourceError, match=r"server\.log"):
        server.start(tmp_path)
