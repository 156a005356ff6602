"""The stand-ins of the benchmark of whole runs are read as what was put into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import _source_figures, mining_source_runs
from pipeline import graph
from pipeline.artifacts import Store
from pipeline.config import parse
from pipeline.settings import HOME_VARIABLE, Home
from tests.sources.github.running import start


def test_every_source_gives_what_was_planted_and_calls_duplicates_what_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(mining_source_runs.TOKEN, "good")
    monkeypatch.delenv("ANGLE_ADAPT_DATA", raising=False)
    store, collect = Store(Home(tmp_path / "home")), graph.STAGES["collect"]
    seen = []
    with start() as hub:
        for case in mining_source_runs.cases(tmp_path, hub, quick=False):
            config = parse({"domain": case.name} | case.settings)
            graph.refresh(collect, config)
            reference = graph.materialise(collect, {}, config, store).entry.reference
            figures = _source_figures.collected(case.planted, store, reference)
            assert [figure.name for figure in figures if not figure.holds] == [], case.name
            assert len(case.planted.links) >= 60
            seen.append(case.name)
    assert seen == ["github", "stack-exchange", "huggingface"]
