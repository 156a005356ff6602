from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.components import Components
from pipeline.cleaning.splits import SPLITS, Links, Placed, draw, large, standing
from pipeline.config import parse
from pipeline.errors import ConfigError
from pipeline.gold import GoldPair
from pipeline.records import Document, text_id
from pipeline.sections import CleanSettings

Make = Callable[..., Document]

SETTINGS = CleanSettings()
NEVER = CleanSettings(test_fraction=0.0)
HALF = CleanSettings(test_fraction=0.5)


def gold_pair(
    split: str, text: str = "Gold text.", name: str = "", other: str = "Other."
) -> GoldPair:
    values = {"id": text, "sentence1": text, "sentence2": other, "score": 0.5, "name1": name}
    return GoldPair.model_validate(values | {"split": split})


def placed(
    documents: Sequence[Document],
    pairs: Sequence[GoldPair] = (),
    settings: CleanSettings = NEVER,
    near: Sequence[tuple[int, int]] = (),
) -> Placed:
    found = Components(len(documents))
    for one, other in near:
        found.join(one, other)
    links = Links(pairs, settings)
    for document in documents:
        links.add(document)
    return links.place(found, np.array([int(d.id, 16) for d in documents], dtype=np.uint64))


def splits(*given: object, **more: object) -> list[str]:
    return [SPLITS[number] for number in placed(*given, **more).splits]  # type: ignore[arg-type]


def many(document: Make, count: int = 100, **fields: str) -> list[Document]:
    return [document(f"Text number {n}.", **fields) for n in range(count)]


def test_the_shares_of_documents_are_those_asked_for(document: Make) -> None:
    counts = Counter(splits(many(document, 2_000), settings=SETTINGS))
    assert set(counts) == {"train", "test"}
    assert 0.27 < counts["test"] / 2_000 < 0.33
    three = CleanSettings(test_fraction=0.2, dev_fraction=0.1)
    counts = Counter(splits(many(document, 2_000), settings=three))
    assert 0.17 < counts["test"] / 2_000 < 0.23
    assert 0.08 < counts["dev"] / 2_000 < 0.12


def test_a_dev_share_takes_from_train_alone(document: Make) -> None:
    plain = splits(many(document), settings=SETTINGS)
    more = splits(many(document), settings=CleanSettings(dev_fraction=0.3))
    assert [split == "test" for split in more] == [split == "test" for split in plain]


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(ConfigError, match="test_fraction and dev_fraction together"):
        parse({"domain": "x", "clean": {"test_fraction": 0.7, "dev_fraction": 0.7}})


@pytest.mark.parametrize(("fraction", "split"), [(0.0, "train"), (1.0, "test")])
def test_nothing_or_everything_can_be_held_out(document: Make, fraction: float, split: str) -> None:
    chosen = CleanSettings(test_fraction=fraction)
    assert set(splits(many(document), settings=chosen)) == {split}


def test_the_seed_draws_other_documents(document: Make) -> None:
    first, second = (splits(many(document), settings=CleanSettings(seed=seed)) for seed in (1, 2))
    assert first != second


def test_a_document_is_linked_by_its_name_its_parent_its_text_or_its_lead(document: Make) -> None:
    long = " ".join(["Word."] * 39 + ["End."] + ["More."] * 20)
    lead = " ".join(["Word."] * 39 + ["End."])
    pairs = [gold_pair("dev", lead, name="os.open")]
    documents = [
        document("Anything.", "os.open"),
        document("A part.", "os.open#1", parent="os.open"),
        document(long),
        document(lead.upper()),
        document("Anything else.", "os.close"),
    ]
    assert splits(documents, pairs) == ["dev"] * 4 + ["train"]


def test_a_gold_pair_without_names_links_no_document_without_a_name(document: Make) -> None:
    nameless = document("Anything.").model_copy(update={"name": ""})
    assert splits([nameless], [gold_pair("test")]) == ["train"]


def test_the_two_texts_of_a_gold_pair_hang_together(document: Make) -> None:
    documents = [document("Gold text."), document("Other."), document("Third.")]
    assert placed(documents, [gold_pair("dev")]).roots.tolist() == [0, 0, 2]


def test_what_dev_and_test_both_speak_of_is_test(document: Make) -> None:
    pairs = [gold_pair("dev", name="a"), gold_pair("test", "Another.", name="b")]
    documents = [document("One.", "a"), document("Two.", "b")]
    assert splits(documents, pairs, near=[(0, 1)]) == ["test", "test"]
    shared = [gold_pair("dev", "One."), gold_pair("test", "Two.")]  # by their other text
    assert splits([*documents, document("Other.")], shared) == ["test"] * 3


def test_a_whole_cluster_follows_the_member_that_gold_speaks_of(document: Make) -> None:
    documents = [document("One.", "a"), document("Two.", "b")]
    assert splits(documents, [gold_pair("test", name="b")], near=[(0, 1)]) == ["test", "test"]


def test_parts_of_one_document_are_in_one_split_also_where_it_is_there_itself(
    document: Make,
) -> None:
    whole = [document(f"Whole number {n}.", f"d{n}") for n in range(40)]
    parts = [
        document(f"Part {p} of number {n}.", f"d{n}#{p}", parent=f"d{n}")
        for n in range(40)
        for p in range(3)
    ]
    found = splits([*whole, *parts], settings=HALF)
    assert set(found) == {"train", "test"}
    assert [found[40 + 3 * n : 43 + 3 * n] for n in range(40)] == [
        [split] * 3 for split in found[:40]
    ]


def test_what_a_source_calls_duplicates_hangs_together_though_a_named_one_is_missing(
    document: Make,
) -> None:
    documents = [
        document("One.", "a", duplicates="gone\nx"),
        document("Two.", "b", duplicates="gone"),
        document("Three.", "x"),
        document("Four.", "y"),
    ]
    assert placed(documents).roots.tolist() == [0, 0, 0, 3]


def test_a_name_that_many_have_and_nobody_speaks_of_ties_nothing(document: Make) -> None:
    documents = [document(f"Text {n}.", "README") for n in range(5)]
    assert placed(documents).roots.tolist() == [0, 1, 2, 3, 4]


def test_a_group_is_in_one_split_as_a_whole_only_where_asked_for(document: Make) -> None:
    documents = [d for g in range(30) for d in many(document, 4, group=f"site {g}")]
    documents = [document(f"{d.text} {n}", group=d.group) for n, d in enumerate(documents)]
    by_group = HALF.model_copy(update={"split_by": "group"})
    found = splits(documents, settings=by_group)
    assert all(len(set(found[at : at + 4])) == 1 for at in range(0, 120, 4))
    assert set(found) == {"train", "test"}
    apart = splits(documents, settings=HALF)
    assert any(len(set(apart[at : at + 4])) == 2 for at in range(0, 120, 4))


def test_what_stands_in_many_groups_ties_none_that_are_kept_whole(document: Make) -> None:
    documents = [document("The same.", group=f"site {g}") for g in range(3)]
    documents += [document("The same."), document("The same."), document("Another.")]
    near = [(0, other) for other in range(1, 5)]
    by_group = NEVER.model_copy(update={"split_by": "group"})
    assert placed(documents, settings=by_group, near=near).roots.tolist() == [0, 1, 2, 3, 3, 5]
    assert placed(documents, near=near).roots.tolist() == [0, 0, 0, 0, 0, 5]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=20))
def test_of_a_cluster_stands_the_first_of_those_held_out_furthest(
    rows: list[tuple[int, int]],
) -> None:
    first = {cluster: rows.index((cluster, split)) for cluster, split in sorted(rows)}
    roots = {cluster: [one for one, _ in rows].index(cluster) for cluster, _ in rows}
    clusters = np.array([roots[cluster] for cluster, _ in rows], dtype=np.int64)
    found = standing(clusters, np.array([split for _, split in rows], dtype=np.int8))
    assert found.tolist() == [first[cluster] for cluster, _ in rows]


def test_components_of_more_than_a_twentieth_are_large_the_largest_first() -> None:
    roots = np.array([0] * 10 + [10] * 20 + [30] * 5 + list(range(35, 100)))
    assert list(large(roots)) == [(10, 20), (0, 10)]
    assert list(large(np.arange(3))) == []


NAMES = st.sampled_from("abcdef")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=2), NAMES | st.just("")), max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=3),
    st.randoms(use_true_random=False),
)
def test_splits_are_those_of_following_every_tie_by_hand_in_any_order(
    rows: list[tuple[str, list[str], str]], near: list[tuple[int, int]], shuffle: random.Random
) -> None:
    documents = [
        Document(
            id=text_id(f"text {n}"), text=f"text {n}", name=name, source="x",
            duplicates="\n".join(duplicates), parent=parent,
        )
        for n, (name, duplicates, parent) in enumerate(rows)
    ]  # fmt: skip
    near = [(a, b) for a, b in near if max(a, b) < len(rows)]
    expected = by_hand(documents, near)
    assert splits(documents, settings=HALF, near=near) == expected
    order = shuffle.sample(range(len(rows)), len(rows))
    moved = [(order.index(a), order.index(b)) for a, b in near]
    found = splits([documents[place] for place in order], settings=HALF, near=moved)
    assert found == [expected[place] for place in order]


def by_hand(documents: list[Document], near: list[tuple[int, int]]) -> list[str]:
    """Spread the smallest id over every tie until nothing changes."""
    said = [{name for name in (d.parent, *d.duplicates.split("\n")) if name} for d in documents]
    pairs = range(len(documents))
    ties = [*near]
    for one in pairs:
        for other in pairs:
            if said[one] & said[other] or documents[one].name in said[other]:
                ties.append((one, other))
    smallest = [document.id for document in documents]
    for _ in pairs:
        for one, other in ties:
            smallest[one] = smallest[other] = min(smallest[one], smallest[other])
    return [draw(identity, HALF) for identity in smallest]
