"""The benchmarks' door, the record of a result, the tables, and how processes are measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from benchmarks import _machine, _tables, spine_default_run
from benchmarks._claims import BENCHMARKS
from benchmarks._processes import Cost, Watch
from benchmarks._record import RESULTS, Benchmark, Figure, Measurement, Result, load, store
from pipeline import config, gold
from pipeline.config import CHECKOUT
from pipeline.errors import InputError, ResourceError
from pipeline.graph import STAGES
from pipeline.runs import RunRecord, StageRecord

PREFIXES = (
    "spine_", "training_", "annotation_", "mining_", "registry_", "evaluation_", "operations_",
    "results_",
)  # fmt: skip
CLAIMS = sorted(
    path.stem for path in (CHECKOUT / "benchmarks").glob("*.py") if not path.stem.startswith("_")
)
FIELDS = {"name", "value", "unit", "target", "comparison", "holds"}
MEBIBYTE = 2**20


def door(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


BENCHES = _tables.PAGES[0]


@pytest.fixture
def result() -> Result:
    figures = (
        Figure.of("default run", 412.34, "s", target=600),
        Figure.of("peak memory", 4.5, "GiB", target=4),
        Figure.of("nDCG@10", 0.7, "", ">="),
    )
    return Result(
        name="spine_default_run",
        quick=False,
        figures=figures,
        versions={"python": "3.11.9"},
        hardware={"cpu": "a processor", "cores": 2, "memory_gib": 15.5},
        seed=13,
        date="2026-11-22T10:00:00+00:00",
    )


def test_the_door_lists_every_benchmark_with_its_claim() -> None:
    listed = door("--list")
    assert listed.returncode == 0
    for name, benchmark in BENCHMARKS.items():
        assert f"{name}: {benchmark.claim}" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [((), "NAME"), (("--list", "--tables"), "NAME"), (("spine",), "'spine_default_run'")],
)
def test_the_door_says_what_it_was_not_given(arguments: tuple[str, ...], hint: str) -> None:
    refused = door(*arguments)
    assert refused.returncode == 2
    assert hint in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_claim_has_one_file_named_after_its_stage() -> None:
    assert sorted(BENCHMARKS) == CLAIMS
    assert [name for name in CLAIMS if not name.startswith(PREFIXES)] == []


def test_a_stored_result_reads_back_as_it_was(result: Result, tmp_path: Path) -> None:
    store(result, tmp_path / "results" / "one.json")
    assert load(tmp_path / "results" / "one.json") == result
    content = json.loads((tmp_path / "results" / "one.json").read_text(encoding="utf-8"))
    assert set(content) == {
        "name", "quick", "figures", "versions", "hardware", "seed", "date",
    }  # fmt: skip
    assert [set(figure) for figure in content["figures"]] == [FIELDS] * 3


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json"):
        load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("value", "comparison", "target", "holds"),
    [
        (4.0, "<=", 4.0, True),
        (4.1, "<=", 4.0, False),
        (8.0, ">=", 8.0, True),
        (7.0, ">=", 8.0, False),
        (1e9, "<=", None, True),
    ],
)
def test_a_figure_holds_when_its_value_meets_its_target(
    value: float,
    comparison: str,
    target: float | None,
    holds: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    values = {"name": "x", "value": value, "unit": "s", "comparison": comparison, "target": target}
    assert Figure.model_validate(values | {"holds": holds}).holds is holds
    with pytest.raises(ValidationError, match="does not follow"):
        Figure.model_validate(values | {"holds": not holds})


def test_a_figure_is_a_finite_number() -> None:
    with pytest.raises(ValidationError):
        Figure.of("x", float("nan"), "s")


def test_the_tables_show_every_figure_with_its_target(result: Result) -> None:
    page = _tables.page(BENCHES, BENCHMARKS, [result])
    assert "| default run | 412.3 s | ≤ 600 s | yes |" in page
    assert "| peak memory | 4.50 GiB | ≤ 4 GiB | no |" in page
    assert "| nDCG@10 | 0.700 |  |  |" in page
    assert "cpu a processor; cores 2; memory gib 15.5" in page
    assert "--quick" not in page
    quick = result.model_copy(update={"quick": True})
    assert "--quick" in _tables.page(BENCHES, BENCHMARKS, [quick])


def test_a_claim_that_was_not_measured_says_so() -> None:
    def measure(*, quick: bool) -> Measurement:
        return Measurement((), int(quick))

    benchmark = Benchmark("Mining is quick.", measure)
    page = _tables.page(BENCHES, {"mining_speed": benchmark}, [])
    assert "## mining_speed\n\nMining is quick.\n\nNot measured yet.\n" in page


@pytest.mark.parametrize("page", _tables.PAGES, ids=lambda page: page.title)
def test_a_page_is_made_from_what_is_stored(page: _tables.Page) -> None:
    text = page.path.read_text(encoding="utf-8")
    assert text == _tables.page(page, BENCHMARKS, _tables.stored())


def test_every_benchmark_is_on_one_page() -> None:
    pages = [_tables.page(page, BENCHMARKS, []) for page in _tables.PAGES]
    for name in BENCHMARKS:
        assert sum(f"## {name}\n" in page for page in pages) == 1


def test_results_are_tables_of_sets_by_measures(result: Result) -> None:
    figures = [
        Figure.of(f"small model, {given}, {what}", value, "", ">=")
        for given, value in (("stsb", 0.5), ("bugs", 0.25))
        for what, value in (("frozen", value), ("adapted", value + 0.125))
    ]
    figures.append(Figure.of("small model: share of sets", 1.0, "", ">=", 0.8))
    own = result.model_copy(update={"name": "results_domains", "figures": tuple(figures)})
    page = _tables.page(_tables.PAGES[1], BENCHMARKS, [own])
    assert "| small model | frozen | adapted |\n|---|--:|--:|\n| stsb | 0.500 | 0.625 |" in page
    assert "| bugs | 0.250 | 0.375 |" in page
    assert "| small model: share of sets | 1 | ≥ 0.800 | yes |" in page


def test_stored_results_are_of_known_benchmarks() -> None:
    assert {result.name for result in _tables.stored()} <= set(BENCHMARKS)


def test_a_result_is_stored_under_the_name_of_its_benchmark() -> None:
    stored = {path.stem: load(path).name for path in RESULTS.glob("*.json")}
    assert stored == {name: name for name in stored}


def test_the_machine_is_described() -> None:
    hardware = _machine.hardware()
    assert hardware["cpu"]
    assert float(hardware["cores"]) >= 1
    assert float(hardware["memory_gib"]) > 0
    assert {"angle-adapt", "python", "torch", "prefect"} <= set(_machine.versions())


def test_a_command_is_charged_for_its_children_and_not_for_what_it_leaves_behind(
    tmp_path: Path,
) -> None:
    script = f"""
import subprocess, sys, time
hold = "import time; held = bytearray(b'x') * ({{}} * {MEBIBYTE}); time.sleep({{}})"
child = subprocess.Popen([sys.executable, "-c", hold.format(40, 1.2)])
left = subprocess.Popen([sys.executable, "-c", hold.format(20, 60)], start_new_session=True)
open("left", "w").write(str(left.pid))
child.wait()
left.returncode = 0
"""
    with Watch(tmp_path, {}) as watch:
        start = time.perf_counter()
        cost = watch.run([sys.executable, "-c", script])
        assert 1.2 <= cost.seconds <= time.perf_counter() - start
        left = psutil.Process(int((tmp_path / "left").read_text(encoding="utf-8")))
        assert left.is_running()
    assert not left.is_running()
    assert 40 * MEBIBYTE <= cost.memory <= 100 * MEBIBYTE
    assert 20 * MEBIBYTE <= cost.detached_memory <= 45 * MEBIBYTE


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with Watch(tmp_path, {}) as watch, pytest.raises(ResourceError, match="exit code 3"):
        watch.run([sys.executable, "-c", "raise SystemExit(3)"])
    with Watch(tmp_path, {}) as watch, pytest.raises(ResourceError, match="exit code 4"):
        watch.median_seconds([sys.executable, "-c", "raise SystemExit(4)"], times=1)


def test_the_default_run_is_judged_by_time_memory_and_what_was_cached() -> None:
    gigabytes = spine_default_run.GIB
    seen = spine_default_run.Seen(
        help=0.5,
        first=Cost(500.0, 3 * gigabytes, gigabytes),
        second=Cost(12.0, gigabytes, gigabytes),
        records=(run_record(cached=False), run_record(cached=True)),
    )
    figures = {figure.name: figure for figure in spine_default_run.figures(seen)}
    assert figures["default run, end to end"].holds
    assert figures["peak memory of the run"].value == 3
    assert not figures["unchanged second run"].holds
    assert figures["stages cached in the second run"].holds
    assert figures["stage train"].value == 20
    assert figures["outside the stages (start, server, report)"].value == 500 - 20 * len(STAGES)
    assert figures["Spearman's ρ, low"].value == 0.01
    assert figures["nDCG@10, adapted"].value == 0.5


def run_record(*, cached: bool) -> RunRecord:
    stages = tuple(
        StageRecord(stage=name, cached=cached, digest="d", rows=1, seconds=20, waited=20, key=name)
        for name in STAGES
    )
    gold = {"base": 0.6, "adapted": 0.65, "difference": 0.05, "low": 0.01, "high": 0.09}
    held_out = {"base": 0.4, "adapted": 0.5, "difference": 0.1}
    return RunRecord(
        id="tiny",
        domain="tiny",
        started="2026-11-22T10:00:00",
        stages=stages,
        evaluation={
            "sets": [
                {"name": "gold", "found": gold},
                {"name": "held-out text", "found": held_out},
                {"name": "general", "found": gold},
            ]
        },
    )


def test_a_quick_default_run_has_valid_settings_and_few_gold_pairs(tmp_path: Path) -> None:
    assert spine_default_run.changed(tmp_path, quick=False) == []
    changed = spine_default_run.changed(tmp_path, quick=True)
    quick = config.load(CHECKOUT / spine_default_run.DOMAIN, changed)
    assert quick.mine.pairs == 60
    pairs = gold.load(quick)
    numbers = {split: sum(pair.split == split for pair in pairs) for split in ("dev", "test")}
    assert numbers == spine_default_run.QUICK_GOLD
