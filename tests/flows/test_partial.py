"""A stage that is not complete: the run goes on and says so, and the next run completes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows import terminal
from pipeline import runs

Adapt = Callable[..., Any]


def test_a_run_with_a_partial_stage_goes_on_and_the_next_one_completes_it(
    adapt: Adapt, workplace: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_PARTIAL", "judge: 14 budget_ended")
    first = adapt()
    record = runs.load(first.result())
    assert (record.status, record.partial) == ("partial", "mine: judge: 14 budget_ended")
    assert record.verdict == "ship"
    assert workplace.ran() == ["collect", "mine", "train", "evaluate"]
    assert "partial, mine: judge: 14 budget_ended" in seen.artifacts(first)["angle-adapt-verdict"]
    assert "14 budget_ended; run again" in terminal.summary(record)
    monkeypatch.delenv("TINY_PARTIAL")
    second = adapt()
    assert workplace.ran()[0] == "mine"
    assert seen.task_states(second)["collect"] == "Cached"
    completed = runs.load(second.result())
    assert (completed.status, completed.partial) == ("completed", "")
    adapt()
    assert workplace.ran() == []
