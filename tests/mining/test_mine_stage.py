"""The stage "mine" through artefacts, with a real backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Reference, Store
from pipeline.config import parse
from pipeline.errors import ConfigError
from pipeline.mining import stage
from pipeline.records import Document, Pair

WORDS = (
    "file", "socket", "list", "number", "thread", "string", "folder", "process", "table", "queue",
    "date", "archive",
)  # fmt: skip


@pytest.fixture
def cleaned(store: Store, document: Callable[..., Document]) -> dict[str, Reference]:
    rows = [
        document(
            f"Return the {one} of a {two}. Wait until the {two} is no longer needed.",
            split="train" if (i + j) % 3 else "test",
        )
        for i, one in enumerate(WORDS)
        for j, two in enumerate(WORDS)
        if one != two
    ]
    with store.create("corpus") as draft:
        draft.write_rows(rows, Document)
    return {"clean": draft.reference}


@pytest.fixture
def values(tiny_backbone: Path) -> dict[str, Any]:
    encoder = {"backbone": str(tiny_backbone), "max_length": 24}
    return {"domain": "tiny", "encoder": encoder, "mine": {"pairs": 80, "texts": 70}}


def test_held_out_documents_are_never_paired(
    store: Store, cleaned: dict[str, Reference], values: dict[str, Any]
) -> None:
    pairs = store.rows(stage.run(cleaned, parse(values), store), Pair)
    rows = store.rows(cleaned["clean"], Document)
    train = {row.id for row in rows if row.split == "train"}
    held_out = [row.text for row in rows if row.split != "train"]
    assert {name for pair in pairs for name in (pair.document1, pair.document2)} <= train
    openings = {pair.sentence1 for pair in pairs} | {pair.sentence2 for pair in pairs}
    assert not openings & set(held_out)


@pytest.mark.parametrize("sampler", ["even", "shares"])
def test_a_sentence_that_a_held_out_document_has_too_is_in_no_pair(
    store: Store, cleaned: dict[str, Reference], values: dict[str, Any], sampler: str
) -> None:
    config = parse(values | {"mine": values["mine"] | {"sampler": sampler}})
    reference = stage.run(cleaned, config, store)
    corpus = store.rows(cleaned["clean"], Document)
    rests = {text.text.split(". ")[1] for text in corpus if text.split != "train"}
    pairs = store.rows(reference, Pair)
    assert not {p.sentence1 for p in pairs} & rests
    assert not {p.sentence2 for p in pairs} & rests
    assert store.json(reference)["dropped"]["held_out_text"] > 0


def test_the_artefact_counts_what_it_holds_and_is_the_same_again(
    store: Store, cleaned: dict[str, Reference], values: dict[str, Any]
) -> None:
    reference = stage.run(cleaned, parse(values), store)
    pairs = store.rows(reference, Pair)
    summary = store.json(reference)
    coverage = summary["coverage"]
    assert summary["pairs"] == len(pairs) == reference.rows == sum(coverage["pairs"]) == 80
    assert summary["strategies"] == Counter(pair.strategy for pair in pairs)
    by_strategy = coverage["strategies"]
    assert summary["strategies"] == {n: r["pairs"] for n, r in by_strategy.items() if r["pairs"]}
    assert summary["texts"] == len({t for p in pairs for t in (p.sentence1, p.sentence2)})
    candidates = sum(row["candidates"] for row in by_strategy.values())
    looked_away = sum(summary["dropped"].get(why, 0) for why in ("not_looked_at", "held_out_text"))
    assert candidates + looked_away == 80 + sum(summary["dropped"].values())
    assert 0 < coverage["comparisons"] < coverage["possible"] == 496
    assert stage.run(cleaned, parse(values), store).digest == reference.digest


def test_an_unknown_strategy_is_refused_before_any_work(
    store: Store, cleaned: dict[str, Reference], values: dict[str, Any]
) -> None:
    config = parse(values | {"mine": {"shares": {"oracle": 1.0}}})
    with pytest.raises(ConfigError, match="oracle"):
        stage.run(cleaned, config, store)
    assert not store.home.journal.exists()
