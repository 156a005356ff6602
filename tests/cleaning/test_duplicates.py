from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.duplicates import clusters, jaccard, shingles, similar
from pipeline.records import Document, text_id

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
    (cluster,) = clusters(documents, 0.8)
    assert cluster.survivor.name == "a"
    assert [member.name for member in cluster.members] == ["a", "b", "c"]
    assert cluster.id == min(member.id for member in cluster.members)


def test_similarity_is_followed_from_text_to_text(document: Make) -> None:
    words = texts_of(1, 1, 40)[0].split()
    shifted = [" ".join(words[start : start + 32]) for start in (0, 3, 6)]
    first, _, last = (shingles(text) for text in shifted)
    assert jaccard(first, last) < 0.8
    assert len(clusters([document(text) for text in shifted], 0.8)) == 1


def test_clusters_do_not_depend_on_the_order_of_documents(document: Make) -> None:
    texts = texts_of(2, 40)
    documents = [
        document(text, f"{n:03}") for n, text in enumerate(texts + [f"{t} x" for t in texts])
    ]
    shuffled = random.Random(0).sample(documents, len(documents))
    assert clusters(shuffled, 0.8) == clusters(documents, 0.8)


def test_nearly_all_pairs_that_comparing_all_with_all_finds_are_found() -> None:
    generator = random.Random(3)
    texts = texts_of(3, 150)
    for text in list(texts):
        words = text.split()
        for _ in range(generator.randrange(3)):
            words[generator.randrange(len(words))] = "other"
        texts.append(" ".join(words))
    parts = {text_id(text): shingles(text) for text in texts}
    truth = {
        frozenset((a, b))
        for a, b in itertools.combinations(parts, 2)
        if jaccard(parts[a], parts[b]) >= 0.6
    }
    found = {frozenset(pair) for pair in similar(parts, 0.6)}
    assert len(truth) > 50
    assert found <= truth
    assert len(found) >= 0.99 * len(truth)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.95, 1.0])
def test_every_threshold_of_the_settings_works(document: Make, threshold: float) -> None:
    documents = [document(LONG, "a"), document(LONG.upper(), "b"), document(f"{LONG} Yes.", "c")]
    assert sum(len(c.members) for c in clusters(documents, threshold)) == 3
    assert len(clusters(documents, threshold)) == (2 if threshold == 1.0 else 1)


@settings(max_examples=50)
@given(st.lists(st.text("ab. \n", max_size=12), max_size=8))
def test_every_document_is_in_exactly_one_cluster(texts: list[str]) -> None:
    documents = [
        Document(id=text_id(text), text=text, name=f"{n}", source="test")
        for n, text in enumerate(texts)
    ]
    members = [member.name for cluster in clusters(documents, 0.8) for member in cluster.members]
    assert sorted(members) == sorted(document.name for document in documents)


def test_six_thousand_short_documents_take_seconds(document: Make) -> None:
    documents = [document(text, f"{n}") for n, text in enumerate(texts_of(4, 6_000))]
    start = time.perf_counter()
    assert len(clusters(documents, 0.8)) == 6_000
    assert time.perf_counter() - start < 20  # about 2 s on two idle cores
