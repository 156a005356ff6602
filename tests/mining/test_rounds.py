"""The second round: new pairs, all over the range, where labels and adapted encoder part."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.mining.rounds import by_disagreement, label_model, mine_again, on_label_scale
from pipeline.mining.stage import mine
from pipeline.records import Document, LabeledPair, Pair
from pipeline.sections import MineSettings
from tests.mining.encoders import HashingEncoder

Make = Callable[..., Document]
WORDS = [f"{a}{b}" for a in ("ba", "ko", "lu", "mi", "re") for b in ("lum", "nar", "tet", "vik")]
WRONG = "balum"
SETTINGS = MineSettings(sampler="even", pairs=60, max_uses=6)


class Mistaken(HashingEncoder):
    """Holds texts with one word to be nearly the same, whatever else they say."""

    identity = "mistaken"

    def encode(self, texts: list[str], label: str = "") -> np.ndarray:
        vectors = super().encode(texts, label)
        holding = [WRONG in text.split() for text in texts]
        vectors[holding] *= 0.2
        vectors[holding, 0] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


@pytest.fixture
def documents(document: Make) -> list[Document]:
    draw = random.Random(1)
    return [document(" ".join(draw.choices(WORDS, k=9)), f"{i}") for i in range(150)]


def label(pair: Pair) -> LabeledPair:
    one, other = (set(text.split()) for text in (pair.sentence1, pair.sentence2))
    return LabeledPair(
        **pair.model_dump(), score=len(one & other) / len(one | other), split="train"
    )


def second(documents: list[Document], adapted: HashingEncoder) -> tuple[list[Pair], list[Pair]]:
    first = mine(documents, SETTINGS, HashingEncoder()).pairs
    labelled = [label(pair) for pair in first]
    encoders = HashingEncoder(), adapted
    return first, mine_again(documents, SETTINGS, encoders, (first, labelled)).pairs


def test_no_pair_is_asked_about_twice(documents: list[Document]) -> None:
    first, more = second(documents, Mistaken())
    assert len(more) == len({pair.id for pair in more}) == 60
    assert not {pair.id for pair in first} & {pair.id for pair in more}


def test_pairs_that_the_encoder_is_wrong_about_come_first(documents: list[Document]) -> None:
    def wrong(pairs: list[Pair]) -> float:
        held = [WRONG in p.sentence1.split() and WRONG in p.sentence2.split() for p in pairs]
        return float(np.mean(held))

    first, more = second(documents, Mistaken())
    _, sound = second(documents, HashingEncoder())
    assert wrong(more) > 2 * wrong(first)
    assert wrong(more) > 2 * wrong(sound)


def test_the_second_round_is_the_same_again_and_covers_the_labels(
    documents: list[Document],
) -> None:
    first, more = second(documents, Mistaken())
    assert second(documents, Mistaken())[1] == more
    found = mine_again(
        documents, SETTINGS, (HashingEncoder(), Mistaken()), (first, [label(p) for p in first])
    )
    assert found.coverage["comparisons"] > 250
    proposed = sum(row["candidates"] for row in found.coverage["strategies"].values())
    looked_away = found.dropped.get("not_looked_at", 0)
    assert proposed + looked_away == len(found.pairs) + sum(found.dropped.values())
    assert found.dropped["asked_before"] > 0


def test_the_label_model_follows_the_labels_and_never_falls() -> None:
    draw = np.random.default_rng(0)
    known = draw.random(200).astype(np.float32)
    labels = np.clip(known**2 + draw.normal(0, 0.1, 200), 0, 1)
    asked = np.linspace(-0.5, 1.5, 50).astype(np.float32)
    said = label_model(known, labels, asked)
    assert (np.diff(said) >= 0).all()
    assert said.min() >= 0
    assert said.max() <= 1
    assert np.abs(said - np.clip(asked, 0, 1) ** 2).max() < 0.2


def test_a_cosine_counts_as_the_label_of_its_rank() -> None:
    known, labels = np.array([0.9, 0.91, 0.99]), np.array([1.0, 0.0, 0.4])
    assert on_label_scale(known, known, labels).tolist() == [0.0, 0.4, 1.0]
    assert on_label_scale(np.array([-1.0, 0.905, 1.0]), known, labels) == pytest.approx(
        [0.0, 0.2, 1.0]
    )


def test_the_furthest_apart_come_first_and_ties_by_the_given_order() -> None:
    said, shown = np.array([0.1, 0.5, 0.9, 0.3]), np.array([0.2, 0.5, 0.1, 0.4])
    order = np.array([9, 1, 5, 2], np.uint64)
    shown[3] = said[3] + (shown[0] - said[0])
    assert by_disagreement(said, shown, order)[[2, 1]].tolist() == [0, 3]
    apart = np.random.default_rng(0).random(50)
    ranks = by_disagreement(apart, np.zeros(50), np.arange(50, dtype=np.uint64))
    assert spearmanr(ranks, apart).statistic == pytest.approx(-1)
