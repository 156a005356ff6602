"""Measuring two encoders whose answers are known, and the stage up to the models."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import Store
from pipeline.config import DomainConfig
from pipeline.encoder import Vectors
from pipeline.errors import LeakageError
from pipeline.evaluation import stage
from pipeline.evaluation.measure import MeasuredPair, measure
from pipeline.gold import GoldPair
from pipeline.records import Document, LabeledPair, pair_id, text_id
from pipeline.sections import EvaluateSettings
from pipeline.settings import Home

WIDTH = 4_096


class WordEncoder:
    """Adds up one axis a word, so the cosine of two texts is their share of common words."""

    identity = "words"

    def __init__(self, ignored: frozenset[str] = frozenset()) -> None:
        self.ignored = ignored
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        assert label
        self.asked += texts
        vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in enumerate(texts):
            words = text.lower().replace(".", "").split()
            for word in (word for word in words if word not in self.ignored):
                vectors[row, zlib.crc32(word.encode()) % WIDTH] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class BlindEncoder(WordEncoder):
    """Sees nothing of a text but its length."""

    identity = "blind"

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        super().encode(texts, label)
        angles = np.array([len(text) * 0.37 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def gold_pairs(count: int) -> list[GoldPair]:
    """Return pairs that share as many of eight words as their score says."""
    pairs = []
    for number in range(count):
        shared = number % 9
        left = [f"w{number}x{place}" for place in range(8)]
        right = left[:shared] + [f"v{number}x{place}" for place in range(8 - shared)]
        texts = " ".join(left), " ".join(right)
        pairs.append(
            GoldPair(id=pair_id(*texts), sentence1=texts[0], sentence2=texts[1], score=shared / 8,
                     split="test", category=("far", "near")[shared > 4])
        )  # fmt: skip
    return pairs


def documents(count: int) -> list[Document]:
    """Return texts whose rest names the word of their first sentence."""
    return [
        Document(id=text_id(text), text=text, name=f"f{n}", source="here", split="test")
        for n in range(count)
        for text in [f"Here is called thing{n}. It gives back the same thing{n} to you."]
    ]


SETTINGS = EvaluateSettings(resamples=400, retrieval_texts=60, retrieval_queries=30)


def test_an_encoder_that_follows_gold_ships_against_a_blind_one() -> None:
    found = measure(BlindEncoder(), WordEncoder(), gold_pairs(90), documents(60), SETTINGS)
    gold, retrieval = found.summary["gold"], found.summary["retrieval"]

    assert found.summary["verdict"] == "ship"
    assert gold["adapted"] == pytest.approx(1.0)
    assert gold["base"] < 0.5 < gold["low"] + 0.4
    assert retrieval["ndcg@10"]["adapted"] == pytest.approx(1.0)
    assert retrieval["mrr@10"]["adapted"] == pytest.approx(1.0)
    assert (retrieval["texts"], retrieval["queries"]) == (60, 30)


def test_the_same_two_the_other_way_round_regress() -> None:
    found = measure(WordEncoder(), BlindEncoder(), gold_pairs(90), documents(60), SETTINGS)

    assert found.summary["verdict"] == "regress"
    assert found.summary["gold"]["high"] < 0


def test_an_unchanged_encoder_is_inconclusive() -> None:
    found = measure(WordEncoder(), WordEncoder(), gold_pairs(90), documents(60), SETTINGS)

    assert found.summary["verdict"] == "inconclusive"
    assert found.summary["gold"]["difference"] == 0


def test_the_cosine_of_each_pair_is_kept() -> None:
    pairs = gold_pairs(18)
    found = measure(BlindEncoder(), WordEncoder(), pairs, documents(12), SETTINGS).pairs

    assert [pair.id for pair in found] == [pair.id for pair in pairs]
    assert [pair.adapted for pair in found] == pytest.approx([pair.score for pair in pairs])
    first = 0.37 * (len(pairs[0].sentence1) - len(pairs[0].sentence2))
    assert found[0].base == pytest.approx(math.cos(first), abs=1e-6)


def test_categories_are_averaged_apart() -> None:
    found = measure(BlindEncoder(), WordEncoder(), gold_pairs(18), documents(12), SETTINGS)
    categories = found.summary["gold"]["by_category"]

    assert {name: row["pairs"] for name, row in categories.items()} == {"far": 10, "near": 8}
    assert categories["far"]["adapted_mean"] == pytest.approx(0.25)
    assert categories["near"]["gold_mean"] == pytest.approx(6.5 / 8)


def test_each_encoder_is_asked_about_each_text_once() -> None:
    base, adapted = WordEncoder(), WordEncoder()
    held_out = documents(20)
    extra = GoldPair(id="x", sentence1="It gives back the same thing1 to you.", sentence2="Else.",
                     score=0.1, split="test")  # fmt: skip
    measure(base, adapted, [*gold_pairs(18), extra], held_out, SETTINGS)

    assert max(Counter(base.asked).values()) == 1
    assert sorted(base.asked) == sorted(adapted.asked)


def test_character_ngrams_are_measured_beside_them() -> None:
    found = measure(BlindEncoder(), WordEncoder(), gold_pairs(90), documents(60), SETTINGS)
    reference = found.summary["references"]["char_tfidf"]

    assert reference["ndcg@10"] > 0.8
    assert reference["mrr@10"] > 0.8
    assert -1 <= reference["gold"] <= 1


def test_without_gold_retrieval_alone_is_measured() -> None:
    found = measure(BlindEncoder(), WordEncoder(), [], documents(60), SETTINGS)

    assert found.summary["gold"] is None
    assert found.summary["references"]["char_tfidf"]["gold"] is None
    assert found.summary["verdict"] == "ship"
    assert "no gold set" in found.summary["reasons"][0]
    assert found.pairs == []


def test_a_handful_of_gold_pairs_gives_no_figure_and_says_so() -> None:
    found = measure(BlindEncoder(), WordEncoder(), gold_pairs(5), documents(60), SETTINGS)

    assert found.summary["gold"] is None
    assert "5 gold test pairs are too few for a figure, 10 needed." in found.summary["notes"]


def test_the_summary_is_plain_json_and_the_same_every_time() -> None:
    texts = [
        json.dumps(
            measure(BlindEncoder(), WordEncoder(), gold_pairs(18), documents(12), SETTINGS).summary,
            allow_nan=False,
        )
        for _ in range(2)
    ]

    assert texts[0] == texts[1]


def test_the_rows_survive_the_store(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    pairs = measure(BlindEncoder(), WordEncoder(), gold_pairs(18), documents(12), SETTINGS).pairs
    with store.create("evaluation") as draft:
        draft.write_rows(pairs, MeasuredPair)

    assert store.rows(draft.reference, MeasuredPair) == pairs


def test_the_stage_finds_leakage_before_it_loads_a_model(tmp_path: Path) -> None:
    store, held_out = Store(Home(tmp_path)), documents(12)
    leaking = LabeledPair(
        id="p", sentence1="One.", sentence2="Two.", score=0.5, strategy="random", split="train",
        document1=held_out[0].id, document2="d",
    )  # fmt: skip
    with store.create("clean") as clean:
        clean.write_rows(held_out, Document)
    with store.create("curate") as curate:
        curate.write_rows([leaking], LabeledPair)
    inputs = {"clean": clean.reference, "curate": curate.reference, "train": curate.reference}

    with pytest.raises(LeakageError, match=r"held-out document 'f0' gave 'One\."):
        stage.run(inputs, DomainConfig(domain="here"), store)
