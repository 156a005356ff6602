"""The training pairs of a share: as many as asked for, and nested."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import Reference
from pipeline.config import parse
from pipeline.graph import STAGES, key_of
from pipeline.training.examples import Example
from pipeline.training.subset import nested

PAIRS = [Example(f"one text {i}", f"another text {i}", i / 200) for i in range(200)]


@given(
    small=st.floats(0.001, 1), large=st.floats(0.001, 1), seed=st.integers(0, 99),
    count=st.integers(1, 200),
)  # fmt: skip
def test_a_smaller_share_lies_in_a_larger_one_of_the_same_seed(
    small: float, large: float, seed: int, count: int
) -> None:
    small, large = sorted((small, large))
    few, many = (nested(PAIRS[:count], share, seed) for share in (small, large))
    assert set(few) <= set(many) <= set(PAIRS[:count])
    assert [len(few), len(many)] == [max(1, round(share * count)) for share in (small, large)]


def test_the_order_of_the_pairs_and_of_their_texts_does_not_decide_who_is_drawn() -> None:
    turned = [Example(b, a, score) for a, b, score in PAIRS]
    random.Random(0).shuffle(turned)
    first = {frozenset(pair[:2]) for pair in nested(PAIRS, 0.3, 13)}
    assert {frozenset(pair[:2]) for pair in nested(turned, 0.3, 13)} == first


def test_pairs_keep_their_order_and_all_of_them_are_themselves() -> None:
    scores = [pair.score for pair in nested(PAIRS, 0.5, 13)]
    assert scores == sorted(scores)
    assert nested(PAIRS, 1.0, 13) is PAIRS
    assert nested([], 0.5, 13) == []


def test_another_seed_draws_other_pairs() -> None:
    common = set(nested(PAIRS, 0.25, 1)) & set(nested(PAIRS, 0.25, 2))
    assert 0 < len(common) < 30  # 12.5 are expected by chance, 50 were the same draw


def test_the_key_of_training_on_all_pairs_is_that_of_before_there_were_shares(
    tmp_path: Path,
) -> None:
    plain = parse({"domain": "x", "encoder": {"backbone": str(tmp_path), "template": "{text}",
                   "pooling": "last", "attention": "native"}})  # fmt: skip
    whole, half = (
        plain.model_copy(update={"train": plain.train.model_copy(update={"share": share})})
        for share in (1.0, 0.5)
    )
    assert "share" not in whole.train.model_dump(mode="json")
    assert parse(half.model_dump(mode="json")).train.share == 0.5
    assert parse(whole.model_dump(mode="json")).train.share == 1.0
    made = Reference(kind="x", digest="d", uri="", rows=1)
    inputs = {"curate": made, "clean": made}
    keys = [key_of(STAGES["train"], inputs, config) for config in (plain, whole, half)]
    assert keys[0] == keys[1] != keys[2]
