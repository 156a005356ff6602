"""Runs that are cut short: what they leave, what they say, and that the next run continues."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest


def wait_for_stage(workplace: Any, stage: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while stage not in workplace.log.read_text().split():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def cut_short(workplace: Any, number: signal.Signals) -> tuple[int, str]:
    with workplace.popen("run", str(workplace.domain), TINY_HANG="train") as process:
        wait_for_stage(workplace, "train", process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err


def statuses(workplace: Any) -> list[str]:
    listed = workplace.command("runs", "--json")
    return [run["status"] for run in json.loads(listed.out)]


@pytest.mark.usefixtures("api")
def test_a_killed_run_is_shown_as_interrupted_and_the_next_one_continues(workplace: Any) -> None:
    code, _ = cut_short(workplace, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert statuses(workplace) == ["interrupted"]
    assert workplace.ran() == ["collect", "mine", "train"]
    again = workplace.command("run", str(workplace.domain))
    assert again.code == 0, again.err
    assert workplace.ran() == ["train", "evaluate"]
    assert statuses(workplace) == ["completed", "interrupted"]


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_an_interrupted_run_says_how_to_continue_and_leaves_nothing_half_written(
    workplace: Any, number: signal.Signals
) -> None:
    code, err = cut_short(workplace, number)
    assert code == 128 + number
    assert err.splitlines()[-1] == "interrupted; run the same command again to continue"
    assert "Traceback" not in err
    assert statuses(workplace) == ["interrupted"]
    assert list((workplace.home.store / "drafts").iterdir()) == []
