"""A run that is killed goes on as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills forked processes")

PROGRAM = Path(__file__).with_name("killing.py")


def outcome(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    root = PROGRAM.parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(600)
def test_twenty_killed_runs_end_with_the_weights_of_one_never_stopped(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    found = outcome("resume", tmp_path, 20, tiny_backbone)
    assert found["steps"] == 36
    assert found["kills"] >= 20
    assert found["equal"] == 20


@pytest.mark.timeout(600)
def test_a_hundred_kills_while_writing_leave_a_hundred_whole_checkpoints(tmp_path: Path) -> None:
    assert outcome("write", tmp_path, 100)["whole"] == 100
