"""Measuring two encoders whose answers are known, and the stage up to the models."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.artifacts import Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder, Vectors
from pipeline.errors import LeakageError
from pipeline.evaluation import retrieval, sets, stage, strategies
from pipeline.evaluation.measure import MeasuredPair, Measurement, Models, measure
from pipeline.evaluation.sets import PairSet, SetPair
from pipeline.evaluation.stage import Measuring
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
EVERY = ("gold", "held-out text")


def compared(
    base: Encoder, adapted: Encoder, pairs: int = 90, texts: int = 60, **others: Encoder
) -> Measurement:
    given = Measuring(gold_pairs(pairs), [], [])
    task = retrieval.build(documents(texts), SETTINGS)
    return measure(Models(base, adapted, others), stage.in_order(given, task), SETTINGS)


def of(found: Measurement, name: str) -> dict[str, Any]:
    (row,) = [row for row in found.summary["sets"] if row["name"] == name]
    return row


def test_an_encoder_that_follows_gold_ships_against_a_blind_one() -> None:
    found = compared(BlindEncoder(), WordEncoder())
    gold, search = (of(found, name) for name in EVERY)

    assert found.summary["verdict"] == "ship"
    assert gold["measure"] == "spearman"
    assert gold["found"]["adapted"] == pytest.approx(1.0)
    assert gold["found"]["base"] < 0.5 < gold["found"]["low"] + 0.4
    assert gold["further"]["pearson"]["adapted"] == pytest.approx(1.0)
    assert search["found"]["adapted"] == pytest.approx(1.0)
    assert {name: row["adapted"] for name, row in search["further"].items()} == pytest.approx(
        {"mrr@10": 1.0, "recall@10": 1.0, "recall@100": 1.0}
    )
    assert (search["texts"], search["items"]) == (60, 30)


def test_the_same_two_the_other_way_round_regress() -> None:
    found = compared(WordEncoder(), BlindEncoder())

    assert found.summary["verdict"] == "regress"
    assert of(found, "gold")["found"]["high"] < 0


def test_an_unchanged_encoder_is_inconclusive() -> None:
    found = compared(WordEncoder(), WordEncoder())

    assert found.summary["verdict"] == "inconclusive"
    assert of(found, "gold")["found"]["difference"] == 0
    assert of(found, "gold")["found"]["p"] == 1


def test_p_values_are_corrected_over_all_sets() -> None:
    found = compared(BlindEncoder(), WordEncoder())
    p, corrected = ([of(found, name)["found"][key] for name in EVERY] for key in ("p", "p_holm"))

    assert min(corrected) == pytest.approx(2 * min(p))
    assert all(one >= other for one, other in zip(corrected, p, strict=True))


def test_the_cosine_of_each_pair_is_kept() -> None:
    pairs = gold_pairs(18)
    found = compared(BlindEncoder(), WordEncoder(), 18, 12).pairs

    assert [pair.id for pair in found] == [pair.id for pair in pairs]
    assert [pair.adapted for pair in found] == pytest.approx([pair.score for pair in pairs])
    first = 0.37 * (len(pairs[0].sentence1) - len(pairs[0].sentence2))
    assert found[0].base == pytest.approx(math.cos(first), abs=1e-6)


def test_categories_are_measured_apart() -> None:
    groups = of(compared(BlindEncoder(), WordEncoder(), 18, 12), "gold")["groups"]

    assert {name: row["pairs"] for name, row in groups.items()} == {"far": 10, "near": 8}
    assert groups["far"]["adapted_mean"] == pytest.approx(0.25)
    assert groups["near"]["gold_mean"] == pytest.approx(6.5 / 8)
    assert groups["far"]["adapted"] == pytest.approx(1.0)
    assert "adapted" not in groups["near"]  # eight pairs give no figure


def test_slices_hold_every_pair_once() -> None:
    found = compared(BlindEncoder(), WordEncoder()).summary["slices"]

    for rows in found.values():
        assert sum(row["pairs"] for row in rows) == 90
    shared = found["share of common words"]
    assert [row["from"] for row in shared] == sorted(row["from"] for row in shared)
    assert shared[0]["to"] < shared[-1]["from"]
    assert shared[-1]["adapted"] == pytest.approx(1.0)


def test_each_encoder_is_asked_about_each_text_once() -> None:
    base, adapted, other = WordEncoder(), WordEncoder(), BlindEncoder()
    compared(base, adapted, 18, 20, other=other)

    for one in (base, adapted, other):
        assert max(Counter(one.asked).values()) == 1
        assert sorted(one.asked) == sorted(base.asked)


def test_adapted_is_held_against_other_models_too() -> None:
    found = compared(BlindEncoder(), WordEncoder(), same=WordEncoder(), blind=BlindEncoder())
    others = of(found, "gold")["others"]

    assert others["same"]["difference"] == 0
    assert others["blind"] == of(found, "gold")["found"] | {"p_holm": None}
    assert of(found, "held-out text")["others"]["same"]["base"] == pytest.approx(1.0)


def test_words_and_letters_are_measured_beside_them() -> None:
    found = compared(BlindEncoder(), WordEncoder())

    assert of(found, "held-out text")["references"]["char_tfidf"] > 0.8
    assert of(found, "held-out text")["references"]["bm25"] > 0.9
    assert 0.9 < of(found, "gold")["references"]["char_tfidf"] <= 1


def test_scores_and_space_are_described() -> None:
    changes = compared(BlindEncoder(), WordEncoder()).summary["changes"]

    assert changes["set"] == "gold"
    assert changes["shift"]["pairs"] == changes["shift"]["labelled"] == 90
    recommended = changes["shift"]["recommended"]["adapted"]
    assert 5 / 8 < recommended["threshold"] <= 8 / 8
    assert (
        changes["saturation"]["base"]["saturated"] > changes["saturation"]["adapted"]["saturated"]
    )


def test_without_gold_retrieval_alone_is_measured() -> None:
    found = compared(BlindEncoder(), WordEncoder(), 0)

    assert [row["name"] for row in found.summary["sets"]] == ["held-out text"]
    assert found.summary["verdict"] == "ship"
    assert "no gold pairs" in found.summary["reasons"][0]
    assert found.pairs == []
    assert found.summary["changes"]["shift"]["recommended"] is None


def test_a_handful_of_gold_pairs_gives_no_figure_and_says_so() -> None:
    found = compared(BlindEncoder(), WordEncoder(), 5)

    assert [row["name"] for row in found.summary["sets"]] == ["held-out text"]
    note = "The set gold is left out: 5 pairs are too few for a figure, 10 needed."
    assert note in found.summary["notes"]


def test_few_pairs_come_with_what_they_can_tell() -> None:
    (note,) = compared(BlindEncoder(), WordEncoder(), 18).summary["notes"]

    assert note.startswith("The set gold has 18 pairs only: a difference below 0.")


def test_a_binary_set_and_a_general_one_are_measured_as_they_are() -> None:
    duplicates = PairSet("duplicates", "domain", "binary", tuple(
        SetPair(pair.sentence1, pair.sentence2, float(pair.score > 0.5)) for pair in gold_pairs(90)
    ))  # fmt: skip
    general = sets.of_gold("general", "general", gold_pairs(60))
    models = Models(BlindEncoder(), WordEncoder(), {})
    found = measure(models, [general, duplicates], SETTINGS)

    assert [row["name"] for row in found.summary["sets"]] == ["general", "duplicates"]
    assert of(found, "duplicates")["measure"] == "average_precision"
    assert of(found, "duplicates")["found"]["adapted"] == pytest.approx(1.0)
    assert of(found, "duplicates")["points"]["best_f1"][1] == pytest.approx(1.0)
    assert of(found, "duplicates")["points"]["auroc"][1] == pytest.approx(1.0)
    assert len(found.pairs) == 90  # of the domain's set


def test_the_summary_is_plain_json_and_the_same_every_time() -> None:
    texts = [
        json.dumps(compared(BlindEncoder(), WordEncoder(), 18, 12).summary, allow_nan=False)
        for _ in range(2)
    ]

    assert texts[0] == texts[1]


def test_the_rows_survive_the_store(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    pairs = compared(BlindEncoder(), WordEncoder(), 18, 12).pairs
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


def labelled(count: int) -> list[LabeledPair]:
    """Return pairs of which those of "dense" follow their words, those of "random" do not."""
    pairs = []
    for number, pair in enumerate(gold_pairs(count)):
        strategy = ("dense", "random", "lexical")[number // 9 % 3]
        score = pair.score if strategy == "dense" else (number * 7 % 11) / 10
        pairs.append(
            LabeledPair(id=pair.id, sentence1=f"Say {pair.sentence1}", sentence2=pair.sentence2,
                        score=score, strategy=strategy, split="train", document1="a",
                        document2="b")
        )  # fmt: skip
    return pairs


def test_labelled_pairs_are_looked_at_by_strategy_and_decide_nothing() -> None:
    pairs = [pair for pair in labelled(270) if pair.strategy != "lexical"] + labelled(27)[18:]
    given = Measuring(gold_pairs(90), [], [])
    models, task = (
        Models(BlindEncoder(), WordEncoder(), {}),
        retrieval.build(documents(60), SETTINGS),
    )
    beside = strategies.labelled(pairs, 40)
    found = measure(models, stage.in_order(given, task), SETTINGS, beside).summary
    without = measure(models, stage.in_order(given, task), SETTINGS).summary

    dense, random = (found["strategies"][name] for name in ("dense", "random"))
    chosen = [pair for pair in beside.pairs if pair.group == "random"]
    vectors = (
        WordEncoder().encode(side) for side in zip(*(pair[:2] for pair in chosen), strict=True)
    )
    cosines = np.einsum("nd,nd->n", *vectors)
    slow = spearmanr(cosines, [pair.score for pair in chosen]).statistic
    assert dense["items"] == random["items"] == 40
    assert dense["adapted"] > 0.99
    assert random["adapted"] == pytest.approx(slow)
    assert dense["low"] > 0 > random["low"]
    assert found["strategies"]["lexical"] == {"items": 9}  # counted, too few for a figure
    assert found | {"strategies": {}} == without


def test_labels_that_are_all_the_same_give_no_figure() -> None:
    pairs = [pair.model_copy(update={"score": 0.5}) if pair.strategy == "random" else pair
             for pair in labelled(270)]  # fmt: skip
    models = Models(BlindEncoder(), WordEncoder(), {})
    gold = sets.of_gold("gold", "domain", gold_pairs(18))
    found = measure(models, [gold], SETTINGS, strategies.labelled(pairs, 60)).summary

    assert found["strategies"]["random"] == {"items": 60}


def test_queries_are_measured_by_where_they_come_from() -> None:
    found = documents(80)
    places = ["big"] * 40 + ["small"] * 5 + [""] * 35
    sourced = [document.model_copy(update={"group": place})
               for document, place in zip(found, places, strict=True)]  # fmt: skip
    settings = SETTINGS.model_copy(update={"retrieval_texts": 80, "retrieval_queries": 80})
    search = retrieval.build(sourced, settings).search
    summary = measure(Models(BlindEncoder(), WordEncoder(), {}), [search], settings).summary
    (row,) = summary["sets"]

    assert {name: one["items"] for name, one in row["groups"].items()} == {
        "big": 40, "here": 35, "small": 5,
    }  # fmt: skip
    assert row["groups"]["big"]["adapted"] == pytest.approx(1.0)
    assert row["groups"]["small"].keys() == {"items"}
    parts = [place for place in range(80) if search.groups[place] == "big"]
    alone = search._replace(
        queries=tuple(search.queries[place] for place in parts),
        relevant=tuple(search.relevant[place] for place in parts),
        groups=(),
    )
    (own,) = measure(Models(BlindEncoder(), WordEncoder(), {}), [alone], settings).summary["sets"]
    assert row["groups"]["big"] == {
        "items": 40, **{name: own["found"][name] for name in ("base", "adapted", "low", "high")},
    }  # fmt: skip


def test_one_source_alone_is_no_part() -> None:
    assert of(compared(BlindEncoder(), WordEncoder()), "held-out text")["groups"] == {}
