"""Pushing to the Hub, against a stand-in on a loopback port."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from flows.cli import app
from tests.export import small_models
from tests.export.hub_stand_in import TOKEN

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "import sys; from pathlib import Path; from pipeline.export.formats import hub;"
    "from pipeline.errors import AngleAdaptError\n"
    "try: print(hub.push(Path(sys.argv[1]), sys.argv[2], private=sys.argv[3] == 'private'))\n"
    "except AngleAdaptError as error: sys.exit(f'{type(error).__name__}: {error}')"
)


class Server(NamedTuple):
    url: str
    seen: Path

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.seen.read_text())
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    seen = tmp_path / "seen.json"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.export.hub_stand_in", str(seen)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().strip(), seen)
        finally:
            process.kill()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling/config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# A card: größer\n")
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    manifest = {"export_version": 1, "format": "peft", "form": "adapter", "precision": "f32"}
    (folder / "export.json").write_text(json.dumps(manifest))
    return folder


def push(
    folder: Path, name: str, url: str, token: str = TOKEN, visible: str = "private"
) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = kept | {
        "HF_ENDPOINT": url, "HF_HOME": str(folder.parent / "hf"), "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token, "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", CODE, str(folder), name, visible],
        cwd=folder.parent, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_everything_goes_in_one_commit_with_the_card(server: Server, export: Path) -> None:
    done = push(export, "my-team/my-model", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{server.url}/my-team/my-model"
    seen = server.read()
    (created,) = seen["created"]
    assert (created["name"], created["organization"]) == ("my-model", "my-team")
    assert created.get("private") is True or created.get("visibility") == "private"
    (commit,) = seen["commits"]
    assert commit["path"].startswith("/api/models/my-team/my-model/commit/main")
    header, *files = commit["lines"]
    assert header["value"]["summary"] == "Export: peft, adapter, f32"
    sent = {row["value"]["path"]: base64.b64decode(row["value"]["content"]) for row in files}
    assert sent == {
        str(file.relative_to(export)): file.read_bytes()
        for file in export.rglob("*") if file.is_file()
    }  # fmt: skip
    assert set(seen["tokens"]) == {f"Bearer {TOKEN}"}


def test_a_public_repository_is_asked_for(server: Server, export: Path) -> None:
    done = push(export, "my-model", server.url, visible="public")
    assert done.stdout.strip() == f"{server.url}/someone/my-model", done.stderr
    (created,) = server.read()["created"]
    assert created.get("private") is not True
    assert created.get("visibility", "public") == "public"


def test_a_wrong_token_leaves_the_export(server: Server, export: Path) -> None:
    done = push(export, "my-team/my-model", server.url, token="hf_wrong")  # noqa: S106
    assert done.returncode == 1
    assert done.stderr.startswith("EndpointError: my-team/my-model was not pushed")
    assert str(export) in done.stderr
    assert "hf_wrong" not in done.stderr
    assert server.read()["commits"] == []


@pytest.mark.parametrize(
    ("name", "token", "says"),
    [("my-team/my-model", "", "set HF_TOKEN"), ("a/b/c", TOKEN, "no name on the Hub")],
)
def test_what_would_fail_is_said_before_anything_is_sent(
    name: str, token: str, says: str, server: Server, export: Path
) -> None:
    done = push(export, name, server.url, token=token)
    assert done.stderr.startswith("ConfigError")
    assert says in done.stderr
    assert not server.seen.exists()


def test_the_command_in_the_document_exports_and_pushes(
    server: Server, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^angle-adapt (.* --push .*)$", text, re.MULTILINE)
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    small_models.model(tmp_path / "my-model", backbone)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "")
    shown = CliRunner().invoke(app, shlex.split(command))
    assert (shown.exit_code, "set HF_TOKEN" in shown.output) == (2, True)
    assert not (tmp_path / "for-hub").exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    shown = CliRunner().invoke(app, shlex.split(command))
    assert shown.exit_code == 0, shown.output
    assert f"{server.url}/my-team/my-model" in shown.output
    (commit,) = server.read()["commits"]
    sent = {row["value"].get("path") for row in commit["lines"]}
    assert {"README.md", "export.json", "model.safetensors", "modules.json"} <= sent


def test_a_hub_that_is_down_is_said_so(export: Path) -> None:
    done = push(export, "my-team/my-model", "http://127.0.0.1:9")
    assert done.stderr.startswith("EndpointError"), done.stderr
    assert "push it again" in done.stderr
