"""What is said about errors and outcomes."""

from __future__ import annotations

import errno

import pytest

from flows import terminal
from pipeline.errors import ConfigError, LeakageError, ResourceError
from pipeline.runs import RunRecord, StageRecord

ERRORS = [
    (ConfigError("bad.yaml: no"), "error: bad.yaml: no", 2),
    (LeakageError("two\n  lines"), "error: two lines", 5),
    (ResourceError("no disk"), "error: no disk", 6),
    (KeyboardInterrupt(), terminal.INTERRUPTED, 130),
    (terminal.Terminated(), terminal.INTERRUPTED, 143),
    (MemoryError(), f"error: {terminal.OUT_OF_MEMORY}", 6),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), terminal.OUT_OF_MEMORY, 6),
    (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "(/a/b)", 6),
    (PermissionError(errno.EACCES, "Permission denied", "/a"), "error: /a: Permission denied", 1),
    (ValueError("odd"), "unexpected ValueError: odd; --debug shows where", 1),
]


@pytest.mark.parametrize(("error", "said", "code"), ERRORS, ids=lambda one: type(one).__name__)
def test_every_error_is_one_line_and_an_exit_code(
    error: BaseException, said: str, code: int
) -> None:
    message, exit_code = terminal.describe(error)
    assert said in message
    assert "\n" not in message
    assert exit_code == code


def test_the_summary_of_a_run_names_everything_it_left() -> None:
    stage = StageRecord(
        stage="train", cached=True, digest="d", rows=1, seconds=9, waited=1, key="k"
    )
    record = RunRecord(
        id="x-1", domain="x", started="2026-01-01T00:00:00", status="completed", verdict="ship",
        stages=(stage,), report="/r/report.html", model="/r/model", dataset="/r/dataset",
        url="http://127.0.0.1/run", evaluation={"reasons": ["It is better."]},
    )  # fmt: skip
    lines = terminal.summary(record).splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["verdict", "ship"], ["It", "is better."], ["report", "/r/report.html"],
        ["dataset", "/r/dataset"], ["model", "/r/model"],
        ["run", "x-1: 1 stages, 1 of them cached, 1.0 s"], ["pages", "http://127.0.0.1/run"],
    ]  # fmt: skip


def test_the_summary_names_each_set_its_interval_and_a_strength_that_is_not_one() -> None:
    found = {"base": 0.5, "adapted": 0.6, "difference": 0.1, "low": -0.05, "high": 0.15}
    sets = [{"name": name, "about": "40 pairs", "measure": "spearman", "found": found}
            for name in ("gold", "held-out text")]  # fmt: skip
    strength = {"chosen": 0.5, "reason": "Strength 0.5: better on dev."}
    evaluation = {"sets": sets, "labels": {"spearman": "ρ"}, "confidence": 0.9,
                  "strength": strength}  # fmt: skip
    record = RunRecord(id="x-1", domain="x", started="2026-01-01T00:00:00", verdict="ship",
                       evaluation=evaluation)  # fmt: skip
    figures = "ρ 0.500 base, 0.600 adapted, difference +0.100 (90 % interval -0.050 to +0.150)"

    assert terminal.summary(record).splitlines()[1:4] == [
        f"measured  gold, 40 pairs: {figures}",
        f"          held-out text, 40 pairs: {figures}",
        "          the adapter has 0.5 of its strength: better on dev.",
    ]
