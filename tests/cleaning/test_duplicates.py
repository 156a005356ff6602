from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning import duplicates
from pipeline.cleaning.components import Components
from pipeline.cleaning.duplicates import Bands, collisions, join_similar
from pipeline.records import Document, text_id
from pipeline.sketches import Layout, jaccard, layout_for, shingled, sketched
from tests.cleaning.spooled import clusters, named

Make = Callable[..., Document]

LONG = (
    "Return a list of the lines in the string, breaking at line boundaries. Line breaks are not "
    "included in the resulting list unless keepends is given and true."
)
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def texts_of(seed: int, count: int, length: int = 24) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=length)) for _ in range(count)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, LONG.upper()),
        (LONG, LONG.replace(",", "").replace(".", "")),
        (LONG, f"{LONG} Please."),
        (LONG, LONG.replace("true", "set")),
        ("Close the file.", "close the file"),
        ("Return the hyperbolic sine of z.", "Return the hyperbolic sine of z!"),
    ],
)
def test_planted_near_duplicates_share_a_cluster(one: str, other: str, document: Make) -> None:
    assert len(clusters([document(one, "a"), document(other, "b")], 0.8)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Return the hyperbolic sine of z.", "Return the hyperbolic cosine of z."),
        ("Return True if all characters are digits.", "Return True if all characters are letters."),
        ("Same as a < b.", "Same as a > b."),
        ("Same as a == b.", "Same as a != b."),
        ("Set the value.", "Get the value."),
        (LONG, "Return the number of lines in the string."),
    ],
)
def test_short_texts_that_differ_in_one_word_stay_apart(
    one: str, other: str, document: Make
) -> None:
    assert len(clusters([document(one, "a"), document(other, "b")], 0.8)) == 2


def test_the_first_document_by_name_stands_for_its_cluster(document: Make) -> None:
    documents = [document(LONG, "c"), document(LONG.upper(), "a"), document(f"{LONG} Yes.", "b")]
    assert named(clusters(documents, 0.8)) == [["a", "b", "c"]]


def test_similarity_is_followed_from_text_to_text(document: Make) -> None:
    words = texts_of(1, 1, 40)[0].split()
    shifted = [" ".join(words[start : start + 32]) for start in (0, 3, 6)]
    first, _, last = shingled(shifted).sets()
    assert jaccard(first, last) < 0.8
    assert len(clusters([document(text) for text in shifted], 0.8)) == 1


@pytest.mark.parametrize("at_once", [1, 7, 256])
def test_clusters_depend_neither_on_the_order_of_documents_nor_on_the_size_of_batches(
    document: Make, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    texts = texts_of(2, 40)
    documents = [
        document(text, f"{n:03}") for n, text in enumerate(texts + [f"{t} x" for t in texts])
    ]
    expected = clusters(documents, 0.8)
    assert sorted(map(len, expected)) == [2] * 40
    monkeypatch.setattr(duplicates, "AT_ONCE", at_once)
    assert clusters(random.Random(0).sample(documents, len(documents)), 0.8) == expected


def test_documents_that_share_name_and_id_keep_an_order_of_their_own(document: Make) -> None:
    documents = [document(text, "a") for text in (LONG.upper(), LONG, LONG.lower())]
    (first,), (second,) = clusters(documents, 0.8), clusters(documents[::-1], 0.8)
    assert first == second


def found_by(texts: list[str], threshold: float) -> list[int]:
    """Return for each text the first that it hangs together with, all in memory."""
    found = Components(len(texts))
    bands = sketched(shingled(texts), layout_for(threshold))
    items = np.arange(len(texts))
    join_similar(found, items, bands, lambda rows: [texts[row] for row in rows], threshold)
    return found.roots().tolist()


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
def test_clusters_are_nearly_those_that_comparing_all_with_all_finds(threshold: float) -> None:
    generator = random.Random(3)
    texts = texts_of(3, 150)
    for text in list(texts):
        words = text.split()
        for _ in range(generator.randrange(4)):
            words[generator.randrange(len(words))] = "other"
        texts.append(" ".join(words))
    sets = shingled(texts).sets()
    truth = Components(len(texts))
    for one, other in itertools.combinations(range(len(texts)), 2):
        if jaccard(sets[one], sets[other]) >= threshold:
            truth.join(one, other)
    found = found_by(texts, threshold)
    expected = truth.roots().tolist()
    assert len(set(expected)) < 260
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 1
    assert all(low >= true for low, true in zip(found, expected, strict=True))


def joined(texts: list[str]) -> tuple[Components, list[int]]:
    """Join what is similar; with the rows whose texts were looked at."""
    asked: list[int] = []

    def read(rows: np.ndarray) -> list[str]:
        asked.extend(rows.tolist())
        return [texts[row] for row in rows]

    found = Components(len(texts))
    bands = sketched(shingled(texts), layout_for(0.8))
    join_similar(found, np.arange(len(texts)), bands, read, 0.8)
    return found, asked


def test_a_thousand_copies_with_a_word_changed_are_one_cluster_and_compared_once_each() -> None:
    (text,) = texts_of(7, 1, 100)
    texts = [f"{text} number{n}" for n in range(1_000)]
    found, asked = joined(texts)
    assert set(found.roots().tolist()) == {0}
    assert len(asked) < 10 * len(texts)


def test_texts_of_one_form_that_are_not_similar_enough_are_compared_with_some_only() -> None:
    """All share a long beginning, and no two are near-duplicates."""
    (beginning,) = texts_of(8, 1, 50)
    texts = [f"{beginning} {own}" for own in texts_of(9, 300, 20)]
    found, asked = joined(texts)
    assert len(set(found.roots().tolist())) == 300
    assert len(asked) < 2 * 300 * 299 / 2


@given(st.lists(st.integers(0, 5), max_size=30))
def test_collisions_are_all_pairs_of_places_with_one_hash(values: list[int]) -> None:
    hashes = np.array(values, dtype=np.uint64)
    found = [tuple(pair) for pairs in collisions(hashes) for pair in pairs.tolist()]
    places = range(len(values))
    assert sorted(found) == [
        p for p in itertools.combinations(places, 2) if values[p[0]] == values[p[1]]
    ]


def test_bands_come_back_from_the_disk_as_they_were_written(tmp_path: Path) -> None:
    hashes = np.random.default_rng(0).integers(2**63, size=(3, 10)).astype(np.uint64)
    bands = Bands(tmp_path / "bands", Layout(3, 2), 10)
    for start in (4, 0, 8):
        bands.write(start, hashes[:, start : start + 4])
    assert (np.array(list(bands)) == hashes).all()


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.95, 1.0])
def test_every_threshold_of_the_settings_works(document: Make, threshold: float) -> None:
    documents = [document(LONG, "a"), document(LONG.upper(), "b"), document(f"{LONG} Yes.", "c")]
    assert sum(map(len, clusters(documents, threshold))) == 3
    assert len(clusters(documents, threshold)) == (2 if threshold == 1.0 else 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab. \n", max_size=12), max_size=8))
def test_every_document_is_in_exactly_one_cluster(texts: list[str]) -> None:
    documents = [
        Document(id=text_id(text), text=text, name=f"{n}", source="test")
        for n, text in enumerate(texts)
    ]
    members = itertools.chain.from_iterable(named(clusters(documents, 0.8)))
    assert sorted(members) == sorted(document.name for document in documents)


def test_six_thousand_short_documents_take_seconds(document: Make) -> None:
    documents = [document(text, f"{n}") for n, text in enumerate(texts_of(4, 6_000))]
    start = time.perf_counter()
    assert len(clusters(documents, 0.8)) == 6_000
    assert time.perf_counter() - start < 20  # about 2 s on two idle cores
