"""The dry run, over the real collect and clean stages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import planning
from pipeline import graph
from pipeline.errors import ConfigError

TEXTS = [
    "Open the named file for reading and return a file object.",
    "Return the number of seconds since the epoch as a number.",
    "Remove the first matching item from the list, or raise an error.",
    "Compile a regular expression into a pattern that can be reused.",
]


@pytest.fixture
def domain(workplace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(workplace.home.root))
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text)
    (folder / "copy.txt").write_text(TEXTS[0])
    workplace.domain.write_text(
        f"domain: tiny\ncollect: {{source: files, path: {folder}}}\nmine: {{pairs: 40}}\n"
    )
    return str(workplace.domain)


def test_a_plan_counts_what_a_run_would_do_and_shows_a_prompt(domain: str) -> None:
    plan = planning.make(domain, ["label.annotators=[likelihood, char_tfidf]"])
    assert (plan.documents, plan.texts, plan.pairs, plan.gold_pairs) == (5, 4, 40, 0)
    assert plan.annotations == {"likelihood": 40, "char_tfidf": 40}
    assert any(text in plan.prompt for text in TEXTS)
    assert set(plan.seconds) == set(graph.STAGES)
    assert "In other words:" in planning.text(plan)


def test_more_pairs_take_longer_to_label_and_train_but_not_to_mine(domain: str) -> None:
    small, large = (planning.make(domain, [f"mine.pairs={pairs}"]).seconds for pairs in (40, 400))
    assert small["mine"] == large["mine"]
    assert large["label"] == pytest.approx(10 * small["label"])
    assert large["train"] == pytest.approx(10 * small["train"])


def test_labelled_pairs_that_are_looked_at_by_strategy_take_their_time(domain: str) -> None:
    none, few, more = (
        planning.make(domain, ["mine.pairs=400", f"evaluate.strategy_pairs={pairs}"]).seconds
        for pairs in (0, 20, 60)
    )
    assert none["evaluate"] < few["evaluate"] < more["evaluate"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("label.annotators=[whitened]", "there is no 'whitened'; .*whitened_encoder"),
        ("label.referee=oracle", "there is no 'oracle'"),
        ("mine.shares={denze: 1.0}", r"unknown \['denze'\]; .*dense"),
    ],
)
def test_names_that_do_not_exist_are_told_before_anything_is_collected(
    domain: str, workplace: Any, change: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        planning.make(domain, [change])
    assert not workplace.home.store.exists()


def test_a_plan_without_the_likelihood_annotator_has_no_prompt(domain: str) -> None:
    assert planning.make(domain, ["label.annotators=[char_tfidf]"]).prompt == ""


def test_planning_loads_neither_models_nor_prefect(domain: str, workplace: Any) -> None:
    code = f"import sys; from flows import planning; planning.make({domain!r}, ()); "
    code += "print([m for m in ('torch', 'transformers', 'prefect') if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=workplace.environment(), capture_output=True, check=True
    )
    assert ran.stdout.decode().strip() == "[]"


def test_a_second_round_takes_longer_but_asks_no_more(domain: str) -> None:
    one, two = (planning.make(domain, [f"mine.rounds={rounds}"]) for rounds in (1, 2))
    assert two.annotations == one.annotations
    assert two.seconds["label"] == one.seconds["label"]
    assert two.seconds["train"] == pytest.approx(1.5 * one.seconds["train"])
