from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import Reference, Store
from pipeline.cleaning import stage
from pipeline.config import DomainConfig, parse
from pipeline.errors import NotEnoughText
from pipeline.records import Document, Dropped, count_reasons, text_id
from pipeline.sections import CleanSettings

Make = Callable[..., Document]

GOLD = "sentence1,sentence2,score,split,name1,name2\nOpen the door.,Close it.,1,dev,door.open,\n"


def collected(store: Store, documents: list[Document]) -> dict[str, Reference]:
    with store.create("documents") as draft:
        draft.write_rows(documents, Document)
    return {"collect": draft.reference}


@pytest.fixture
def config(tmp_path: Path) -> DomainConfig:
    (tmp_path / "gold.csv").write_text(GOLD)
    gold = {"gold": str(tmp_path / "gold.csv")}
    return parse({"domain": "x", "evaluate": gold, "clean": {"test_fraction": 0.0}})


@pytest.fixture
def corpus(document: Make) -> list[Document]:
    return [
        document("Return the number of items in the list.", "len"),
        document("return  the number of items in the list.", "size"),
        document("Return the number of items in the list", "count"),
        document("Open the door when somebody knocks on it.", "door.open"),
        document("Write to me@example.org about any problem.", "help"),
        document("Too short.", "short"),
        document("| 1 | 2 | 3 | 4 |", "table"),
        document("", "empty"),
    ]


def test_every_document_is_kept_or_dropped_with_a_reason(
    store: Store, config: DomainConfig, corpus: list[Document]
) -> None:
    reference = stage.run(collected(store, corpus), config, store)
    kept = {row.name: row for row in store.rows(reference, Document)}
    dropped = store.rows(reference, Dropped, "dropped")
    assert list(kept) == ["count", "door.open", "help"]
    assert {drop.detail.split(":")[0]: drop.reason for drop in dropped} == {
        "len": "near_duplicate",
        "size": "near_duplicate",
        "short": "too_short",
        "table": "too_many_symbols",
        "empty": "too_short",
    }
    assert {drop.stage for drop in dropped} == {"clean"}
    assert store.json(reference) == {
        "in": 8,
        "kept": 3,
        "dropped": count_reasons(dropped),
        "masked": {"email": 1},
        "clusters": 1,
        "splits": {"train": 2, "dev": 1, "test": 0},
    }


def test_kept_documents_carry_their_cluster_split_and_provenance(
    store: Store, config: DomainConfig, corpus: list[Document]
) -> None:
    reference = stage.run(collected(store, corpus), config, store)
    kept = {row.name: row for row in store.rows(reference, Document)}
    assert kept["door.open"].split == "dev"
    assert kept["help"].text == "Write to [email] about any problem."
    assert all(row.id == text_id(row.text) and row.cluster for row in kept.values())
    assert kept["help"].source == "test"


def test_a_dropped_duplicate_takes_its_gold_link_to_the_one_that_is_kept(
    store: Store, config: DomainConfig, document: Make
) -> None:
    text = "Some text that stands in two places."
    inputs = collected(store, [document(text, "a"), document(text, "door.open")])
    reference = stage.run(inputs, config, store)
    (kept,) = store.rows(reference, Document)
    assert (kept.name, kept.split) == ("a", "dev")
    assert store.json(reference)["dropped"] == {"exact_duplicate": 1}


def test_masking_can_be_switched_off(document: Make) -> None:
    text = "Write to me@example.org about any problem."
    corpus = stage.clean([document(text)], CleanSettings(mask_personal_data=False))
    assert corpus.kept[0].text == text
    assert not corpus.masked


def test_a_corpus_without_a_usable_text_is_an_error_that_counts_the_reasons(
    store: Store, config: DomainConfig, document: Make
) -> None:
    inputs = collected(store, [document("Short.", "a"), document("| 1 | 2 | 3 |", "b")])
    with pytest.raises(NotEnoughText, match=r"all 2 documents .*too_many_symbols 1, too_short 1"):
        stage.run(inputs, config, store)


def test_adding_documents_moves_none_that_was_there_before(document: Make) -> None:
    documents = [document(f"Text number {n} of a hundred and more.", f"{n}") for n in range(100)]
    few = stage.clean(documents[:50], CleanSettings(near_duplicate=1.0)).kept
    many = {row.id: row for row in stage.clean(documents, CleanSettings(near_duplicate=1.0)).kept}
    assert [many[row.id] for row in few] == few
    assert {row.split for row in few} == {"train", "test"}


TEXTS = st.lists(
    st.text(st.sampled_from("ab 1|\n.é"), max_size=40) | st.sampled_from(["one two three four"]),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 3), st.sampled_from([0.3, 0.8, 1.0]))
def test_what_comes_in_is_kept_or_dropped(texts: list[str], words: int, limit: float) -> None:
    documents = [
        Document(id=text_id(text), text=text, name=f"{n % 5}", source="test")
        for n, text in enumerate(texts)
    ]
    corpus = stage.clean(documents, CleanSettings(min_words=words, near_duplicate=limit))
    assert len(documents) == len(corpus.kept) + len(corpus.dropped)
    assert len({row.id for row in corpus.kept}) == len(corpus.kept)
    assert len({row.cluster for row in corpus.kept}) == len(corpus.kept)
    assert all(drop.reason for drop in corpus.dropped)
