from __future__ import annotations

import itertools
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sketches import Layout, jaccard, layout_for, shingled, sketched, words

PLAIN = st.text("ab.<! \n", max_size=30)


def listed(text: str) -> frozenset[tuple[str, ...]]:
    """The word 3-grams, by the book."""
    found = words(text)
    return frozenset(tuple(found[at : at + 3]) for at in range(max(1, len(found) - 2)))


def overlap(one: str, other: str) -> float:
    return len(listed(one) & listed(other)) / len(listed(one) | listed(other))


def pairs_of(seed: int, count: int, changed: int) -> list[tuple[str, str]]:
    """Texts of 100 words, and the same with a few words replaced."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        text = [f"w{generator.randrange(5_000)}" for _ in range(100)]
        other = list(text)
        for place in generator.sample(range(100), changed):
            other[place] = f"other{number}"
        found.append((" ".join(text), " ".join(other)))
    return found


def test_case_and_punctuation_around_words_do_not_count_and_signs_alone_do() -> None:
    assert words('He said: "Close THE file!"') == ["he", "said", "close", "the", "file"]
    assert words("a < b") != words("a > b")
    assert words("...") == ["..."]


def test_characters_of_scripts_without_spaces_are_words() -> None:
    assert words("日本語 Text") == ["日", "本", "語", "text"]
    one, other = (
        "吾輩は猫である。名前はまだ無い。どこで生れたか",
        "吾輩は猫である。名前はまだ無い。どこで生れた",
    )
    assert overlap(one, other) > 0.8


@settings(deadline=None)
@given(st.lists(PLAIN | st.text(max_size=20), min_size=2, max_size=6))
def test_the_overlap_of_hashes_is_that_of_the_word_3_grams(texts: list[str]) -> None:
    sets = shingled(texts).sets()
    assert len(sets) == len(texts)
    for (text, found), (other, others) in itertools.product(
        zip(texts, sets, strict=True), repeat=2
    ):
        assert jaccard(found, others) == pytest.approx(overlap(text, other))


@settings(deadline=None)
@given(st.lists(PLAIN, min_size=1, max_size=6))
def test_a_text_is_sketched_alone_as_among_others(texts: list[str]) -> None:
    layout = Layout(4, 2)
    together = sketched(shingled(texts), layout)
    alone = [sketched(shingled([text]), layout)[:, 0] for text in texts]
    assert (np.array(alone) == together.T).all()


def test_no_text_at_all_has_no_sketch() -> None:
    assert sketched(shingled([]), Layout(4, 2)).shape == (4, 0)
    assert shingled([]).sets() == []


def test_a_lone_surrogate_does_no_harm() -> None:
    assert len(shingled(["one \ud800 two three"]).sets()[0]) == 2


def test_sketches_are_the_same_on_every_machine() -> None:
    found = sketched(shingled(["Return the number of items in the list."]), Layout(2, 2))
    assert found[:, 0].tolist() == [12692875239754203666, 7647971752887054085]


@pytest.mark.parametrize("changed", [1, 4, 10, 20])
def test_permutations_agree_as_often_as_the_jaccard_similarity_says(changed: int) -> None:
    pairs = pairs_of(changed, 200, changed)
    found = sketched(shingled(list(itertools.chain.from_iterable(pairs))), Layout(128, 1))
    agree = (found[:, ::2] == found[:, 1::2]).mean()
    truth = statistics.mean(overlap(*pair) for pair in pairs)
    assert agree == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.6, 0.8, 0.9, 1.0])
def test_pairs_at_the_threshold_are_proposed(threshold: float) -> None:
    bands, rows = layout_for(threshold)
    assert bands * rows <= 128
    assert (1 - threshold**rows) ** bands <= 0.001


def test_pairs_at_the_threshold_are_proposed_by_real_sketches() -> None:
    pairs = [pair for pair in pairs_of(5, 400, 4) if overlap(*pair) >= 0.78]
    found = sketched(shingled(list(itertools.chain.from_iterable(pairs))), layout_for(0.8))
    proposed = (found[:, ::2] == found[:, 1::2]).any(axis=0)
    assert len(pairs) > 200
    assert proposed.mean() >= 0.99


@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_the_lowest_thresholds_have_a_layout_too(threshold: float) -> None:
    assert layout_for(threshold) == Layout(128, 1)
