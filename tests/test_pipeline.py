"""The whole pipeline on a small domain, with every real stage and a tiny backbone, no Prefect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline import graph
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.errors import LeakageError, NotEnoughText
from pipeline.graph import Outcome
from pipeline.records import LabeledPair, Pair

VERBS = ("Open", "Close", "Read", "Write", "Sort", "Return", "Remove", "Copy", "Count", "Rename")
THINGS = ("a file", "a socket", "the list of numbers", "bytes", "a folder", "the size of a file")
DETAILS = (
    "It raises an error when there is nothing left to do.",
    "The result is a new object and the old one is unchanged.",
    "Numbers are compared before names and the order is kept.",
)

Run = Callable[..., dict[str, Outcome]]


def texts() -> list[str]:
    """Sixty short texts; the second sentences repeat with a word of their own."""
    return [
        f"{verb} {thing} with number {index}. {DETAILS[index % 3]} See also {verb}-{index}."
        for index, (verb, thing) in enumerate((v, t) for v in VERBS for t in THINGS)
    ]


def write_gold(path: Path) -> None:
    rows = ["sentence1,sentence2,score,split"]
    for index in range(40):
        split = "dev" if index % 3 == 0 else "test"
        second = f"Close what was opened as number {index}" if index % 2 else f"Gold thing {index}"
        rows.append(f"Gold thing that opens number {index},{second},{index % 6},{split}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def domain(tmp_path: Path, tiny_backbone: Path) -> dict[str, object]:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index, text in enumerate(texts()):
        (folder / f"{index:02}.txt").write_text(text)
    write_gold(tmp_path / "gold.csv")
    return {
        "domain": "small",
        "collect": {"source": "files", "path": str(folder), "licence": "CC0-1.0"},
        "mine": {"pairs": 40, "texts": 60},
        "encoder": {"backbone": str(tiny_backbone), "max_length": 32},
        "train": {"epochs": 1, "batch_pairs": 8, "lora_depth": 0.5},
        "evaluate": {
            "gold": str(tmp_path / "gold.csv"), "retrieval_texts": 20, "retrieval_queries": 15,
            "resamples": 200,
        },
    }  # fmt: skip


@pytest.fixture
def run(store: Store) -> Run:
    def run_all(values: dict[str, object]) -> dict[str, Outcome]:
        config: DomainConfig = parse(values)
        outcomes: dict[str, Outcome] = {}
        references: dict[str, Reference] = {}
        for name, stage, inputs in graph.steps(config.mine.rounds):
            own = {role: references[step] for role, step in inputs.items()}
            outcomes[name] = graph.materialise(stage, own, config, store)
            references[name] = outcomes[name].entry.reference
        return outcomes

    return run_all


def ran(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if not outcome.cached]


def test_from_texts_to_a_published_model_and_dataset(
    domain: dict[str, object], run: Run, store: Store
) -> None:
    outcomes = run(domain)
    assert ran(outcomes) == list(graph.STAGES)
    references = {name: outcome.entry.reference for name, outcome in outcomes.items()}

    curate = store.json(references["curate"])
    assert curate["in"] == curate["kept"] + sum(curate["dropped"].values())
    assert {"likelihood", "char_tfidf", "whitened_encoder", "blend"} == set(curate["agreement"])
    evaluation = store.json(references["evaluate"])
    assert evaluation["verdict"] in ("ship", "inconclusive", "regress")
    sets = {row["name"]: row["items"] for row in evaluation["sets"]}
    assert sets == {"gold": 26, "held-out text": 15, "general": 324}
    assert evaluation["strength"]["chosen"] in (0, 0.25, 0.5, 0.75, 1, 1.25)
    assert evaluation["strength"]["general_pairs"] == 159

    published = store.path(references["publish"])
    frame = pd.read_parquet(published / "dataset" / "data")
    assert len(frame) == curate["kept"]
    assert {"name1", "document1", "strategy"} <= set(frame.columns)
    assert (published / "model" / "angle_adapt.json").is_file()
    for file in published.rglob("*"):
        if file.suffix in (".md", ".json"):
            assert str(store.root) not in file.read_text(), file


def test_nothing_changed_runs_nothing_and_train_settings_run_train_and_what_follows(
    domain: dict[str, object], run: Run
) -> None:
    run(domain)
    assert ran(run(domain)) == []
    changed = domain | {"train": {"epochs": 2, "batch_pairs": 8, "lora_depth": 0.5}}
    assert ran(run(changed)) == ["train", "evaluate", "publish"]
    assert ran(run(domain)) == []


def test_a_second_round_adds_pairs_and_pays_for_nothing_twice(
    domain: dict[str, object], run: Run, store: Store
) -> None:
    mine = {"pairs": 40, "texts": 60, "rounds": 2}
    outcomes = run(domain | {"mine": mine})
    found = {name: outcome.entry.reference for name, outcome in outcomes.items()}
    first, both = (
        [pair.id for pair in store.rows(found[name], Pair)] for name in ("mine 1", "mine")
    )
    assert len(first) == 20
    assert both[:20] == first
    assert len(both) == len({*both}) == 40
    asked, again = (
        store.json(found[name])["annotators"]["likelihood"] for name in ("label 1", "label")
    )
    gold_dev = 14
    assert (asked["asked"], asked["reused"]) == (20 + gold_dev, 0)
    assert (again["asked"], again["reused"]) == (20, 20 + gold_dev)
    assert store.json(found["train"])["pairs"] > store.json(found["train 1"])["pairs"]
    assert ran(run(domain | {"mine": mine})) == []
    later = run(domain | {"mine": mine, "train": {"epochs": 2, "batch_pairs": 8}})
    assert ran(later)[0] == "train 1"


def test_a_changed_document_has_only_new_pairs_labelled(
    domain: dict[str, object], run: Run, store: Store, tmp_path: Path
) -> None:
    first = run(domain)
    before = {p.id for p in store.rows(first["mine"].entry.reference, Pair)}
    changed = "Rename bytes that nobody asked for. The name is checked before it is used."
    (tmp_path / "texts" / "07.txt").write_text(changed)
    second = run(domain)
    after = {p.id for p in store.rows(second["mine"].entry.reference, Pair)}
    label = store.json(second["label"].entry.reference)["annotators"]["likelihood"]
    assert label["asked"] == len(after - before)
    gold_dev = 14
    assert label["reused"] == len(after & before) + gold_dev
    assert 0 < label["asked"] <= 8


def test_damaged_data_behind_a_finished_stage_is_noticed_and_made_again(
    domain: dict[str, object], run: Run, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = run(domain)
    weights = store.path(outcomes["train"].entry.reference) / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    again = run(domain)
    assert ran(again) == ["train"]
    assert f"{weights} is damaged" in caplog.text
    assert again["train"].entry.reference == outcomes["train"].entry.reference
    assert store.problem(again["train"].entry.reference) == ""


def test_gold_text_in_the_corpus_is_held_out(
    domain: dict[str, object], run: Run, store: Store, tmp_path: Path
) -> None:
    text = "Gold thing that opens number 4"
    (tmp_path / "texts" / "gold.txt").write_text(text)
    outcomes = run(domain)
    pairs = store.rows(outcomes["curate"].entry.reference, LabeledPair)
    assert all(text not in (pair.sentence1, pair.sentence2) for pair in pairs)


def test_training_on_gold_text_stops_the_run(
    domain: dict[str, object], run: Run, store: Store
) -> None:
    config = parse(domain)
    references = {name: o.entry.reference for name, o in run(domain).items()}
    rows = store.rows(references["curate"], LabeledPair)
    planted = rows[0].model_copy(update={"sentence1": "Gold thing that opens number 4"})
    with store.create("dataset") as draft:
        draft.write_rows([planted, *rows[1:]], LabeledPair)
    with pytest.raises(LeakageError, match="Gold thing that opens number 4"):
        graph.materialise(
            graph.STAGES["evaluate"], references | {"curate": draft.reference}, config, store
        )


def planted(store: Store, references: dict[str, Reference]) -> Reference:
    """Return the labelled pairs with a gold text in one of them."""
    rows = store.rows(references["curate"], LabeledPair)
    leaking = rows[0].model_copy(update={"sentence1": "gold thing  that opens number 4"})
    with store.create("dataset") as draft:
        draft.write_rows([leaking, *rows[1:]], LabeledPair)
        draft.write_json(store.json(references["curate"]))
    return draft.reference


def test_training_does_not_start_on_gold_text(
    domain: dict[str, object], run: Run, store: Store
) -> None:
    references = {name: o.entry.reference for name, o in run(domain).items()}
    changed = references | {"curate": planted(store, references)}
    with pytest.raises(LeakageError, match="Gold thing that opens number 4"):
        graph.materialise(graph.STAGES["train"], changed, parse(domain), store)


def test_leakage_that_is_allowed_is_on_record_and_on_the_card(
    domain: dict[str, object], run: Run, store: Store
) -> None:
    references = {name: o.entry.reference for name, o in run(domain).items()}
    clean = store.json(references["evaluate"])["leakage"]
    assert clean["measured_texts"] > clean["trained_texts"] > 0
    assert [clean["found"][check] for check in ("document", "exact", "near_duplicate")] == [0, 0, 0]
    assert not clean["allowed"]
    references["curate"] = planted(store, references)
    config = parse(domain | {"allow_leakage": True})
    for name in ("train", "evaluate", "publish"):
        outcome = graph.materialise(graph.STAGES[name], references, config, store)
        references[name] = outcome.entry.reference
    found = store.json(references["evaluate"])["leakage"]
    assert (found["found"]["exact"], found["allowed"]) == (1, True)
    card = (store.path(references["publish"]) / "dataset" / "README.md").read_text()
    assert "| the same text, but for case and white space | 1 |" in card
    assert "overlaps were allowed (`allow_leakage: true`)" in card


def test_a_corpus_too_small_for_its_pairs_says_so(
    domain: dict[str, object], run: Run, tmp_path: Path
) -> None:
    for file in sorted((tmp_path / "texts").iterdir())[4:]:
        file.unlink()
    with pytest.raises(NotEnoughText, match=r"mine\.pairs asks for 40"):
        run(domain)
    (tmp_path / "texts" / "00.txt").write_text("")


def test_stages_log_json_that_is_plain(domain: dict[str, object], run: Run, store: Store) -> None:
    for name, outcome in run(domain).items():
        summary = store.json(outcome.entry.reference)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary, name
