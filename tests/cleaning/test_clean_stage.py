from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import Reference, Store
from pipeline.cleaning import duplicates, stage
from pipeline.cleaning.aside import DroppedText
from pipeline.config import DomainConfig, parse
from pipeline.errors import NotEnoughText
from pipeline.records import Document, Dropped, count_reasons, text_id
from pipeline.settings import Home

Make = Callable[..., Document]

GOLD = "sentence1,sentence2,score,split,name1,name2\nOpen the door.,Close it.,1,dev,door.open,\n"


class Cleaned(NamedTuple):
    kept: list[Document]
    dropped: list[Dropped]
    summary: dict[str, Any]
    reference: Reference


def cleaned(store: Store, documents: list[Document], **settings: object) -> Cleaned:
    config = parse({"domain": "x", "clean": settings})
    reference = stage.run(collected(store, documents), config, store)
    return Cleaned(
        store.rows(reference, Document),
        store.rows(reference, Dropped, "dropped"),
        store.json(reference),
        reference,
    )


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
        document("Short.", "short"),
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
        "table": "mostly_numbers",
        "empty": "too_short",
    }
    assert {drop.stage for drop in dropped} == {"clean"}
    assert store.json(reference) == {
        "in": 8,
        "chunks": 8,
        "kept": 3,
        "dropped": count_reasons(dropped),
        "masked": {"email": 1},
        "boilerplate_lines": 0,
        "clusters": 1,
        "splits": {"train": 2, "dev": 1, "test": 0},
        "components": {"count": 3, "large": []},
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


def test_masking_can_be_switched_off(store: Store, document: Make) -> None:
    text = "Write to me@example.org about any problem."
    found = cleaned(store, [document(text)], mask_personal_data=False)
    assert found.kept[0].text == text
    assert not found.summary["masked"]


def test_a_corpus_without_a_usable_text_is_an_error_that_counts_the_reasons(
    store: Store, config: DomainConfig, document: Make
) -> None:
    inputs = collected(store, [document("Short.", "a"), document("| 1 | 2 | 3 |", "b")])
    with pytest.raises(NotEnoughText, match=r"all 2 documents .*mostly_numbers 1, too_short 1"):
        stage.run(inputs, config, store)


def test_adding_documents_moves_none_that_was_there_before(store: Store, document: Make) -> None:
    documents = [document(f"Text number {n} of a hundred and more.", f"{n}") for n in range(100)]
    few = cleaned(store, documents[:50], near_duplicate=1.0).kept
    many = {row.id: row for row in cleaned(store, documents, near_duplicate=1.0).kept}
    assert [many[row.id] for row in few] == few
    assert {row.split for row in few} == {"train", "test"}


@pytest.mark.parametrize("read", [1, 3, 1_000])
def test_the_corpus_depends_neither_on_the_order_of_documents_nor_on_the_size_of_batches(
    store: Store, corpus: list[Document], monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    expected = cleaned(store, corpus).reference
    monkeypatch.setattr(duplicates, "AT_ONCE", read)
    shuffled = random.Random(read).sample(corpus, len(corpus))
    assert cleaned(store, shuffled).reference == expected


def test_dropped_texts_are_kept_aside_for_a_look_with_personal_data_masked(
    store: Store, document: Make
) -> None:
    addressed = [document(f"n{n}@example.org", f"{n:02}") for n in range(30)]
    copies = [document("Open the door when somebody knocks.", name) for name in ("a", "b")]
    found = cleaned(store, [*addressed, *copies], mask_personal_data=False)
    samples = store.rows(found.reference, DroppedText, "samples")
    assert Counter(sample.reason for sample in samples) == {"too_short": 20, "exact_duplicate": 1}
    assert {s.text for s in samples if s.reason == "too_short"} == {"[email]"}
    assert all(sample.detail.startswith(f"{sample.name}: ") for sample in samples)
    dropped = {drop.record_id for drop in found.dropped}
    assert {sample.record_id for sample in samples} <= dropped
    assert found.summary["dropped"] == {"too_short": 30, "exact_duplicate": 1}


def test_a_long_dropped_text_is_kept_aside_in_part(store: Store, document: Make) -> None:
    found = cleaned(store, [document("Open the door."), document("1 " * 9_000)], min_words=1)
    (sample,) = store.rows(found.reference, DroppedText, "samples")
    assert len(sample.text) == 2_000


def test_chunks_are_counted_beside_documents_and_stay_in_the_split_of_their_document(
    store: Store, document: Make
) -> None:
    paragraphs = [f"The paragraph {n} says something about the number {n * n}." for n in range(240)]
    documents = [document("\n\n".join(paragraphs[n : n + 4]), f"d{n:03}") for n in range(0, 240, 4)]
    found = cleaned(
        store, [*documents, document("No.", "short")], chunk="paragraph", chunk_words=12,
        near_duplicate=1.0,
    )  # fmt: skip
    assert found.summary["in"] == 61
    assert found.summary["chunks"] == len(found.kept) + len(found.dropped) > 200
    splits = defaultdict(set)
    for row in found.kept:
        splits[row.parent].add(row.split)
    assert {len(found) for found in splits.values()} == {1}
    assert set.union(*splits.values()) == {"train", "test"}


def test_lines_that_a_site_repeats_are_removed_and_a_text_of_nothing_else_is_dropped(
    store: Store, document: Make
) -> None:
    menu = "Home and news of the site\nAbout us and our team"
    documents = [
        document(f"{menu}\nThe story number {n} tells of {n * 7} birds.", f"{n}", group="site")
        for n in range(10)
    ]
    alone = [document(f"{menu}\nHome and  news of the site", "menu", group="site")]
    found = cleaned(store, [*documents, *alone], near_duplicate=1.0, max_duplicate_lines=1.0)
    assert found.kept[0].text == "The story number 0 tells of 0 birds."
    assert [(drop.reason, drop.detail) for drop in found.dropped] == [
        ("boilerplate", "menu: 3 lines")
    ]
    assert found.summary["boilerplate_lines"] == 23


def test_documents_that_hang_together_and_are_many_are_reported(
    store: Store, document: Make, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [f"Text number {n} of a hundred and more." for n in range(40)]
    documents = [
        document(text, f"{n:02}", duplicates="00" if 0 < n < 30 else "")
        for n, text in enumerate(texts)
    ]
    found = cleaned(store, documents, near_duplicate=1.0)
    (large,) = found.summary["components"]["large"]
    assert (large["documents"], large["first"]) == (30, "00")
    assert found.summary["components"]["count"] == 11
    assert len({row.split for row in found.kept[:30]}) == 1
    assert f"30 documents hang together and are all in {large['split']}" in caplog.text


class Meanings:
    """An encoder that knows two meanings: doors, and all else."""

    identity = "meanings"

    def encode(self, texts: Sequence[str], label: str = "") -> np.ndarray:
        assert label == ""
        about = np.array(["door" in text for text in texts])
        return np.stack([about, ~about], axis=1).astype(np.float32)


def test_texts_that_mean_the_same_are_merged_where_the_settings_say_so(
    store: Store, document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [
        document("Open the door when somebody knocks.", "a"),
        document("Let them in who stand before the door.", "b"),
        document("Return the number of items in the list.", "c"),
    ]
    assert len(cleaned(store, documents).kept) == 3
    monkeypatch.setattr(stage, "_encoder", lambda *_: Meanings())
    found = cleaned(store, documents, semantic_duplicate=0.9)
    assert [row.name for row in found.kept] == ["a", "c"]
    assert [(drop.reason, drop.detail) for drop in found.dropped] == [
        ("semantic_duplicate", "b: as a")
    ]


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
    usable = Document(id="x", text="Open the door when somebody knocks.", name="z", source="test")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Home(Path(folder)))
        found = cleaned(store, [*documents, usable], min_words=words, near_duplicate=limit)
    assert len(documents) + 1 == len(found.kept) + len(found.dropped) == found.summary["chunks"]
    assert len({row.id for row in found.kept}) == len(found.kept)
    assert len({row.cluster for row in found.kept}) == len(found.kept)
    assert [row.name for row in found.kept] == sorted(row.name for row in found.kept)
    assert all(drop.reason for drop in found.dropped)


def test_what_a_bot_wrote_everywhere_makes_no_repositories_one(
    store: Store, document: Make
) -> None:
    bot = "This issue lists the updates that the bot has found here."
    groups = [f"owner/{number}" for number in range(20)]
    documents = [document(bot[: None if g else -1], f"{groups[g]}#0", group=groups[g])
                 for g in range(20)]  # fmt: skip
    documents += [
        document(f"The {word} number {n} of {group} does not open any more.", f"{group}#{n}",
                 group=group)
        for group in groups for n, word in enumerate(["door", "window", "lid"], start=1)
    ]  # fmt: skip
    found = cleaned(store, documents, split_by="group", test_fraction=0.5, near_duplicate=0.99)
    where = defaultdict(set)
    for one in found.kept:
        where[one.group].add(one.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert set.union(*where.values()) == {"train", "test"}
    kept = [one for one in found.kept if "bot" in one.text]
    assert [one.split for one in kept] == ["test"]
    assert count_reasons(found.dropped) == {"exact_duplicate": 18, "near_duplicate": 1}
    assert found.summary["chunks"] == len(found.kept) + len(found.dropped)
