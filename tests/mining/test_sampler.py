"""The even sampler: labels expected all over the range, within its limits, and what that gives."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mining import texts as mining_texts
from pipeline.mining.coverage import comparisons
from pipeline.mining.likeness import CURVE, Scale
from pipeline.mining.sampler import BINS, even, tenths
from pipeline.mining.stage import mine
from pipeline.records import Document, Pair, text_id
from pipeline.sections import MineSettings
from tests.mining.encoders import HashingEncoder

Make = Callable[..., Document]
WORDS = [f"{start}{end}" for start in ("ba", "ko", "lu", "mi", "re", "su") for end in
         ("lum", "nar", "tet", "vik", "zon", "dra")]  # fmt: skip
SETTINGS = MineSettings(sampler="even", pairs=100, max_uses=3)
ENCODER = HashingEncoder()


@pytest.fixture
def documents(document: Make) -> list[Document]:
    """Families of texts that share from none to nearly all of their words."""
    draw = random.Random(4)
    made = []
    for _ in range(50):
        base = draw.choices(WORDS, k=12)
        for changed in (0, 1, 3, 6):
            words = base.copy()
            for place in draw.sample(range(12), changed):
                words[place] = draw.choice(WORDS)
            made.append(document(" ".join(words), cluster="" if changed else " ".join(base)))
    return made


def scale(documents: list[Document]) -> Scale:
    return Scale(mining_texts.of(documents, SETTINGS, ENCODER))


def expected(documents: list[Document], pairs: list[Pair]) -> np.ndarray:
    texts = [text for pair in pairs for text in (pair.sentence1, pair.sentence2)]
    places = np.arange(len(texts), dtype=np.int32)
    return scale(documents).of(texts, places[::2], places[1::2]).expected


def test_equal_texts_are_expected_at_one_and_unrelated_ones_near_nought(
    documents: list[Document],
) -> None:
    texts = ["balum konar lutet mivik", "rezon sudra rebalum", documents[0].text]
    found = scale(documents).of(texts, np.array([0, 0, 2]), np.array([0, 1, 2]))
    assert found.lexical[[0, 2]] == pytest.approx(1, abs=1e-5)
    assert found.expected[[0, 2]] == pytest.approx(1, abs=1e-5)
    assert found.expected[1] < 0.2
    assert found.expected == pytest.approx(((found.lexical + found.dense) / 2) ** CURVE)


def test_expected_labels_do_not_depend_on_how_high_all_cosines_are(
    documents: list[Document],
) -> None:
    """As those of many encoders are: 0.9 and more between any two texts."""

    class Narrow(HashingEncoder):
        def encode(self, texts: list[str], label: str = "") -> np.ndarray:
            wide = super().encode(texts, label)
            return np.hstack([wide * np.sqrt(0.1), np.full((len(wide), 1), np.sqrt(0.9))]).astype(
                np.float32
            )

    texts = [document.text for document in documents[:40]]
    first, second = np.arange(20, dtype=np.int32), np.arange(20, 40, dtype=np.int32)
    wide, narrow = (
        Scale(mining_texts.of(documents, SETTINGS, encoder)).of(texts, first, second)
        for encoder in (HashingEncoder(), Narrow())
    )
    assert narrow.expected == pytest.approx(wide.expected, abs=1e-3)


def test_pairs_cover_the_range_evenly_where_there_are_candidates(
    documents: list[Document],
) -> None:
    every = dict.fromkeys(("dense", "lexical", "random"), 1.0)
    limits = {"near_duplicate": 1.0, "max_uses": 20, "shares": every}
    settings = SETTINGS.model_copy(update=limits)
    found = mine(documents, settings, ENCODER)
    counts, there = found.coverage["pairs"], found.coverage["candidates"]
    assert counts == np.bincount(tenths(expected(documents, found.pairs)), minlength=BINS).tolist()
    assert sum(counts) == len(found.pairs) == 100
    filled = [count for count, most in zip(counts, there, strict=True) if most > 60]
    assert len(filled) >= 5
    assert max(filled) - min(filled) <= 1
    assert max(counts) == max(filled)


def test_fixed_shares_of_the_same_candidates_cover_less(documents: list[Document]) -> None:
    fixed = SETTINGS.model_copy(update={
        "sampler": "shares", "shares": {"dense": 0.4, "lexical": 0.4, "random": 0.2},
    })  # fmt: skip
    evenly, by_shares = (mine(documents, one, ENCODER).coverage for one in (SETTINGS, fixed))
    assert evenly["comparisons"] > by_shares["comparisons"] + 5
    assert min(evenly["pairs"][:7]) > min(by_shares["pairs"][:7])


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_text_is_in_no_more_pairs_than_settings_allow(
    documents: list[Document], most: int
) -> None:
    found = mine(documents, SETTINGS.model_copy(update={"max_uses": most}), ENCODER)
    uses = Counter(text_id(t) for pair in found.pairs for t in (pair.sentence1, pair.sentence2))
    assert max(uses.values()) == most
    assert found.dropped["text_used_up"] > 0


def test_a_strategy_gives_no_more_than_its_share(documents: list[Document]) -> None:
    shares = {"dense": 0.1, "lexical": 0.25, "random": 0.8}
    found = mine(documents, SETTINGS.model_copy(update={"shares": shares}), ENCODER)
    counts = Counter(pair.strategy for pair in found.pairs)
    assert counts["dense"] == 10
    assert counts["lexical"] == 25
    assert found.dropped["over_share"] > 0


def test_shares_of_less_than_all_count_as_all(documents: list[Document]) -> None:
    shares = {"dense": 0.2, "random": 0.2}
    found = mine(documents, SETTINGS.model_copy(update={"shares": shares}), ENCODER)
    assert Counter(pair.strategy for pair in found.pairs) == {"dense": 50, "random": 50}


def test_near_duplicates_are_not_paired_unless_their_source_calls_them_so(document: Make) -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=28)) for _ in range(30)]
    documents = [document(text, f"n{i}") for i, text in enumerate(texts)]
    documents += [
        document(f"{text}.", f"m{i}", duplicates=f"n{i}" if i < 9 else "")
        for i, text in enumerate(texts)
    ]
    settings = SETTINGS.model_copy(update={"pairs": 60, "near_duplicate": 0.8})
    pairs, dropped, _ = mine(documents, settings, ENCODER)
    alike = [pair for pair in pairs if pair.sentence1.strip(".") == pair.sentence2.strip(".")]
    assert alike
    assert {pair.strategy for pair in alike} == {"source_duplicates"}
    assert dropped["near_duplicate"] > 0


def test_documents_of_one_cluster_are_not_paired(document: Make) -> None:
    draw = random.Random(0)
    documents = [
        document(" ".join(draw.choices(WORDS, k=9)), f"{i}", cluster=f"c{i % 10}")
        for i in range(60)
    ]
    clusters = {one.id: one.cluster for one in documents}
    pairs, dropped, _ = mine(documents, SETTINGS.model_copy(update={"pairs": 60}), ENCODER)
    assert all(clusters[pair.document1] != clusters[pair.document2] for pair in pairs)
    assert dropped["near_duplicate"] > 0


def test_no_more_is_looked_at_than_is_needed_of_strategies_with_texts_of_their_own(
    document: Make,
) -> None:
    draw = random.Random(0)
    documents = [
        document(". ".join(" ".join(draw.choices(WORDS, k=6)).title() for _ in range(3)) + ".")
        for _ in range(300)
    ]
    settings = MineSettings(sampler="even", pairs=20, shares={"same_document": 0.5, "random": 0.5})
    asked: set[str] = set()

    class Counting(HashingEncoder):
        def encode(self, texts: list[str], label: str = "") -> np.ndarray:
            asked.update(texts)
            return super().encode(texts, label)

    sample = even(mining_texts.of(documents, settings, Counting()))
    assert sample.dropped["not_looked_at"] == 300 - 4 * 10
    assert len(asked) <= 300 + 2 * 4 * 10


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(2, 5))
def test_comparisons_are_the_mean_over_all_batches(counts: list[int], batch: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    if len(labels) < 2:
        assert comparisons(counts, batch) == 0
        return
    ordered = np.mean([one != other for one, other in itertools.combinations(labels, 2)])
    assert comparisons(counts, batch) == pytest.approx(ordered * batch * (batch - 1) / 2, abs=0.006)
