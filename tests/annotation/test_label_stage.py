"""The stage "label" through artefacts: every annotator's opinion of every pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.annotation import annotators, stage
from pipeline.annotation.annotators import CharTfidf, Opinions, TextPair
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.errors import ConfigError
from pipeline.records import Annotation, Pair, pair_id

GOLD = """sentence1,sentence2,score,split
Open a file.,Open the file.,5,dev
Open a file.,Sort a list of bytes.,0,dev
Close a file.,Close the file.,4,test
Close a file.,Read numbers.,1,test
"""
TEXTS = ("Open a socket.", "Read bytes from a socket.", "Sort the list.", "Return the size.")
NAMES = ("likelihood", "char_tfidf", "whitened_encoder")


def pair(first: str, second: str) -> Pair:
    return Pair(
        id=pair_id(first, second), sentence1=first, sentence2=second, strategy="test",
        document1="d1", document2="d2",
    )  # fmt: skip


def mined(store: Store, texts: tuple[str, ...] = TEXTS) -> dict[str, Reference]:
    pairs = [pair(a, b) for i, a in enumerate(texts) for b in texts[i + 1 :]]
    with store.create("pairs") as draft:
        draft.write_rows(pairs, Pair)
    return {"mine": draft.reference}


@pytest.fixture
def values(tiny_backbone: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "gold.csv").write_text(GOLD)
    return {
        "domain": "tiny",
        "encoder": {"backbone": str(tiny_backbone), "max_length": 24},
        "evaluate": {"gold": str(tmp_path / "gold.csv")},
    }


@pytest.fixture
def config(values: dict[str, Any]) -> DomainConfig:
    return parse(values)


def test_every_pair_has_an_annotation_of_every_annotator(
    store: Store, config: DomainConfig
) -> None:
    inputs = mined(store)
    reference = stage.run(inputs, config, store)
    rows = store.rows(reference, Annotation)
    ids = [row.id for row in store.rows(inputs["mine"], Pair)]
    expected = [(name, key) for name in NAMES for key in ids]
    assert [(row.annotator, row.pair_id) for row in rows] == expected
    assert all(row.score is not None and row.reason == "" for row in rows)
    assert reference.rows == len(rows)


def test_gold_dev_pairs_are_annotated_apart_and_test_pairs_never(
    store: Store, config: DomainConfig
) -> None:
    reference = stage.run(mined(store), config, store)
    gold = store.rows(reference, Annotation, "gold")
    dev = {
        pair_id("Open a file.", "Open the file."),
        pair_id("Open a file.", "Sort a list of bytes."),
    }
    assert {row.pair_id for row in gold} == dev
    assert len(gold) == len(dev) * len(NAMES)
    assert not {row.pair_id for row in store.rows(reference, Annotation)} & dev


def test_without_a_gold_file_the_gold_table_is_empty(store: Store, values: dict[str, Any]) -> None:
    config = parse(values | {"evaluate": {}, "label": {"annotators": ["char_tfidf"]}})
    assert store.rows(stage.run(mined(store), config, store), Annotation, "gold") == []


def test_the_summary_counts_what_was_asked_and_what_was_in_the_journal(
    store: Store, config: DomainConfig
) -> None:
    stage.run(mined(store, TEXTS[:3]), config, store)
    counts = store.json(stage.run(mined(store), config, store))["annotators"]
    assert list(counts) == sorted(NAMES)
    likelihood, tfidf = counts["likelihood"], counts["char_tfidf"]
    assert (likelihood["scored"], likelihood["missing"]) == (6, 0)
    assert (likelihood["reused"], likelihood["asked"]) == (5, 3)  # two are gold dev pairs
    assert (tfidf["reused"], tfidf["asked"]) == (0, 8)
    assert all(entry["identity"] and entry["seconds"] >= 0 for entry in counts.values())


def test_the_same_pairs_have_the_same_scores_again(store: Store, config: DomainConfig) -> None:
    first, second = (stage.run(mined(store), config, store) for _ in range(2))
    assert store.rows(first, Annotation) == store.rows(second, Annotation)


def test_a_score_that_is_no_number_is_a_reason(
    store: Store, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(CharTfidf):
        name = "failing"

        def annotate(self, pairs: list[TextPair]) -> Opinions:
            scores = super().annotate(pairs).scores
            return Opinions([float("nan"), float("inf"), *scores[2:]], reused=0)

    monkeypatch.setitem(annotators.ANNOTATORS, "failing", Failing)
    config = parse(values | {"evaluate": {}, "label": {"annotators": ["failing"]}})
    reference = stage.run(mined(store), config, store)
    rows = store.rows(reference, Annotation)
    assert [row.score for row in rows[:2]] == [None, None]
    assert [row.reason for row in rows] == ["not_a_number"] * 2 + [""] * 4
    entry = store.json(reference)["annotators"]["failing"]
    assert (entry["scored"], entry["missing"]) == (4, 2)


def test_an_unknown_annotator_stops_before_anything_is_written(
    store: Store, values: dict[str, Any]
) -> None:
    inputs = mined(store)
    before = sorted(store.root.glob("objects/*/*"))
    config = parse(values | {"label": {"annotators": ["oracle"]}})
    with pytest.raises(ConfigError, match="there is no 'oracle'"):
        stage.run(inputs, config, store)
    assert sorted(store.root.glob("objects/*/*")) == before


def test_a_run_of_no_annotators_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"label\.annotators"):
        parse(values | {"label": {"annotators": []}})


def test_a_referee_is_asked_about_the_pairs_that_the_others_disagree_most_about(
    store: Store, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"first": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "second": [0.1, 1.0, 0.5, 0.7, 0.9, 0.3]}

    def answering(name: str) -> Any:
        class Answering(CharTfidf):
            def annotate(self, pairs: list[TextPair]) -> Opinions:
                self.name = name
                return Opinions(said.get(name, [0.5] * len(pairs)), reused=0)

        return Answering

    for name in ("first", "second", "strong"):
        monkeypatch.setitem(annotators.ANNOTATORS, name, answering(name))
    label = {"annotators": ["first", "second"], "referee": "strong", "referee_share": 1 / 3}
    config = parse(values | {"evaluate": {}, "label": label})
    reference = stage.run(mined(store), config, store)
    rows = [row for row in store.rows(reference, Annotation) if row.annotator == "strong"]
    asked = [number for number, row in enumerate(rows) if row.score is not None]
    assert asked == [1, 5]  # ranks 2 and 6, and 6 and 2
    assert {row.reason for row in rows if row.score is None} == {"not_asked"}
    assert store.json(reference)["annotators"]["strong"]["asked"] == 2


@pytest.mark.parametrize(
    ("referee", "told"), [("oracle", "there is no 'oracle'"), ("char_tfidf", "asked about every")]
)
def test_a_referee_that_cannot_be_one_stops_before_anybody_is_asked(
    store: Store, values: dict[str, Any], referee: str, told: str
) -> None:
    config = parse(values | {"label": {"annotators": ["char_tfidf"], "referee": referee}})
    with pytest.raises(ConfigError, match=told):
        stage.run(mined(store), config, store)
