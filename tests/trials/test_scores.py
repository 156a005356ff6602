"""Trials over the real stages and a tiny backbone: what runs, and what their scores are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import gold, graph
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, overridden, parse
from pipeline.encoder import transformer
from pipeline.errors import InputError
from pipeline.trials import grid, scores
from pipeline.trials.scores import ScoredPair
from pipeline.trials.work import Keys, Work, steps

VERBS = ("Open", "Close", "Read", "Write", "Sort", "Return", "Remove", "Copy", "Count", "Rename")
THINGS = ("a file", "a socket", "the list of numbers", "bytes", "a folder", "the size of a file")


def write_gold(path: Path, splits: Sequence[str] = ("dev", "test")) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence1", "sentence2", "score", "split"])
        for i in range(40):
            second = f"Shut what number {i} was" if i % 2 else f"Gold thing {i}"
            writer.writerow([f"Gold thing {i} that opens", second, i % 6, splits[i % len(splits)]])


@pytest.fixture
def base(tmp_path: Path, tiny_backbone: Path) -> dict[str, Any]:
    lines = [f"{verb} {thing} of kind {n}. It is done once and never again for {n}-{verb}."
             for n, (verb, thing) in enumerate((v, t) for v in VERBS for t in THINGS)]  # fmt: skip
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, line in enumerate(lines):
        (folder / f"{number:02}.txt").write_text(line)
    write_gold(tmp_path / "gold.csv")
    general = [f"Birds sing in May {i},Birds sang {i},{i % 6},test" for i in range(12)]
    header = "sentence1,sentence2,score,split"
    (tmp_path / "general.csv").write_text("\n".join([header, *general]))
    return {
        "domain": "small",
        "collect": {"source": "files", "path": str(folder)},
        "mine": {"pairs": 40, "texts": 60},
        "label": {"annotators": ["char_tfidf", "frozen_encoder"]},
        "encoder": {"backbone": str(tiny_backbone), "max_length": 32},
        "train": {"epochs": 1, "batch_pairs": 8, "lora_depth": 0.5},
        "leakage": {"embedding": "off"},
        "evaluate": {"gold": str(tmp_path / "gold.csv"), "general": str(tmp_path / "general.csv")},
    }


def trials(base: dict[str, Any], *vary: str) -> list[DomainConfig]:
    def make(overrides: Sequence[str]) -> DomainConfig:
        parts = {name: dict(base[name]) for name in ("train", "encoder")}
        return parse(overridden(base | parts, overrides))

    return [make(t.overrides) for t in grid.trials(make(()), grid.wanted(vary), make)]


@pytest.fixture
def run(store: Store) -> Callable[[DomainConfig], dict[str, Reference]]:
    keys = Keys()

    def run_all(config: DomainConfig) -> dict[str, Reference]:
        made: dict[str, Reference] = {}
        for step in steps(config):
            inputs = {role: made[name] for role, name in step.inputs.items()}
            assert keys.of(step, inputs, config) == graph.key_of(step.stage, inputs, config)
            outcome = graph.materialise(step.stage, inputs, config, store)
            made[step.name] = outcome.entry.reference
        return made

    return run_all


def test_trials_need_what_their_settings_change_and_their_scores_are_their_models_cosines(
    base: dict[str, Any], store: Store, run: Callable[[DomainConfig], dict[str, Reference]]
) -> None:
    own, lower, annotator = trials(base, "rank=2", "annotator=char_tfidf")
    before, after = Work(store, Keys()), Work(store, Keys())
    everything = ["collect", "clean", "mine", "label", "curate", "train", "score"]
    assert [job.step.name for job in before.add(own)] == everything
    assert [job.step.name for job in before.add(annotator)] == ["curate", "train", "score"]
    first, second = run(own), run(lower)
    needed = [[job.step.name for job in after.add(one)] for one in (own, lower, annotator)]
    assert needed == [[], [], ["curate", "train", "score"]]
    assert set(after.seconds_of(own)) == set(everything)
    assert [name for name in everything if first[name] != second[name]] == ["train", "score"]
    sizes = [store.json(made["train"])["trainable_parameters"] for made in (first, second)]
    assert sizes[0] == 8 * sizes[1]

    rows = store.rows(second["score"], ScoredPair)
    pairs = [*gold.load(own), *gold.general(own)]
    assert [row.id for row in rows] == [pair.id for pair in pairs]
    assert [row.split for row in rows] == ["dev", "test"] * 20 + ["general"] * 12
    model = transformer.load_model(store.path(second["train"]), store.home)
    left, right = (model.encode([getattr(p, f"sentence{n}") for p in pairs]) for n in (1, 2))
    assert [row.adapted for row in rows] == pytest.approx(np.sum(left * right, axis=1), abs=1e-5)
    assert store.json(second["score"])["dev"]["pairs"] == 20


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (["dev"], "0 test pairs to report on"),
        (["test"], "0 dev pairs to choose by"),
        (["dev", *["test"] * 7], "5 dev pairs to choose by, 10 are needed"),
    ],
)
def test_gold_that_cannot_compare_trials_is_refused(
    base: dict[str, Any], tmp_path: Path, splits: list[str], said: str
) -> None:
    write_gold(tmp_path / "gold.csv", splits)
    with pytest.raises(InputError, match=said):
        scores.check(parse(base))
    with pytest.raises(InputError, match=r"no gold set.*evaluate\.gold"):
        scores.check(parse(base | {"evaluate": {}}))


def test_gold_of_one_score_is_refused(base: dict[str, Any], tmp_path: Path) -> None:
    rows = [f"one {i},other {i},3,{'dev' if i % 2 else 'test'}" for i in range(40)]
    (tmp_path / "gold.csv").write_text("\n".join(["sentence1,sentence2,score,split", *rows]))
    with pytest.raises(InputError, match="one score alone"):
        scores.check(parse(base))


def test_a_second_round_is_a_trial_of_two_rounds(base: dict[str, Any]) -> None:
    names = [step.name for step in steps(parse(base | {"mine": {"rounds": 2}}))]
    assert names == [
        "collect", "clean", "mine 1", "label 1", "curate 1", "train 1", "mine", "label", "curate",
        "train", "score",
    ]  # fmt: skip
