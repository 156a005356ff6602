"""Processes killed while they ask in batches: what arrived is kept, nothing is paid twice."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pipeline.config import CHECKOUT
from tests.chat.batch_killing import COUNT, POINTS

TRIALS = 8


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chat.batch_killing", str(TRIALS)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    what: dict[str, Any] = json.loads(done.stdout)
    return what


@pytest.mark.parametrize(
    "name", [*POINTS, "downloading", *(f"trial {number}" for number in range(TRIALS))]
)
def test_after_kills_every_question_is_answered_and_paid_once(
    name: str, found: dict[str, Any]
) -> None:
    left = found[name]
    assert (left["accepted"], left["kept"]) == (COUNT, COUNT)
    assert (left["twice"], left["unpaid"], left["requests"], left["open"]) == (0, 0, 0, 0)


def test_only_what_never_began_begins_anew(found: dict[str, Any]) -> None:
    anew = {"while claiming": 2, "failed, not set free": 2, "while setting free": 3}
    assert {name: found[name]["batches"] for name in POINTS} == dict.fromkeys(POINTS, 1) | anew


def test_processes_were_really_killed(found: dict[str, Any]) -> None:
    assert sum(found[f"trial {number}"]["kills"] for number in range(TRIALS)) > TRIALS // 3
