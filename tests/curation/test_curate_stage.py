"""The stage "curate" through artefacts: labels, and what may not be trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.curation import stage
from pipeline.curation.disagreement import Disagreement
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.gold import GoldPair
from pipeline.records import Annotation, Document, Dropped, LabeledPair, Pair, pair_id
from pipeline.sections import CurateSettings

Opinions = Mapping[str, Mapping[int, float | None]]

COUNT = 30
GOLD = "sentence1,sentence2,score,split\n" + "".join(
    f"Gold text {i}.,Other gold text {i}.,{i % 6},{'dev' if i < 8 else 'test'}\n" for i in range(10)
)


def pair(first: str, second: str, one: str = "d1", two: str = "d2") -> Pair:
    return Pair(
        id=pair_id(first, second), sentence1=first, sentence2=second, document1=one, document2=two,
        strategy="dense" if len(first) % 2 else "random", name1="module.one", name2="module.two",
    )  # fmt: skip


def annotation(key: str, name: str, score: float | None) -> Annotation:
    return Annotation(pair_id=key, annotator=name, score=score, reason="" if score else "test")


def plain_pairs() -> list[Pair]:
    return [pair(f"Text {'x' * (i % 2)} {i}.", f"Other text {i}.") for i in range(COUNT)]


def plain_opinions() -> dict[str, dict[int, float | None]]:
    return {
        "up": {i: 1.0 + i for i in range(COUNT)},
        "mixed": {i: 1.0 + (i * 7) % COUNT for i in range(COUNT)},
    }


@pytest.fixture
def config(tmp_path: Path) -> DomainConfig:
    (tmp_path / "gold.csv").write_text(GOLD)
    return parse({"domain": "x", "evaluate": {"gold": str(tmp_path / "gold.csv")}})


@pytest.fixture
def curated(
    store: Store, document: Callable[..., Document]
) -> Callable[[list[Pair], Opinions, DomainConfig], Reference]:
    def run(pairs: list[Pair], opinions: Opinions, config: DomainConfig) -> Reference:
        documents = [
            document(f"Document {name}.", id=name, split=split)
            for name, split in (("d1", "train"), ("d2", "train"), ("held", "test"), ("dev", "dev"))
        ]
        with store.create("corpus") as corpus:
            corpus.write_rows(documents, Document)
        with store.create("pairs") as mined:
            mined.write_rows(pairs, Pair)
        rows = [
            annotation(pairs[i].id, name, score)
            for name, scores in opinions.items()
            for i, score in scores.items()
        ]
        keys = [pair_id(f"Gold text {i}.", f"Other gold text {i}.") for i in range(8)]
        gold = [annotation(key, name, 1.0 + i) for name in opinions for i, key in enumerate(keys)]
        with store.create("annotations") as labels:
            labels.write_rows(rows, Annotation)
            labels.write_rows(gold, Annotation, "gold")
            labels.write_rows([], Pair, "generated")
        inputs = {
            "clean": corpus.reference, "mine": mined.reference, "label": labels.reference
        }  # fmt: skip
        return stage.run(inputs, config, store)

    return run


def test_labels_are_the_blend_of_the_ranks_and_keep_where_they_came_from(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    pairs, opinions = plain_pairs(), plain_opinions()
    rows = store.rows(curated(pairs, opinions, config), LabeledPair)
    assert [row.id for row in rows] == [one.id for one in pairs]
    scores = [row.score for row in rows]
    total = [opinions["up"][i] + opinions["mixed"][i] for i in range(COUNT)]  # type: ignore[operator]
    assert scores == pytest.approx((rankdata(total) - 0.5) / COUNT, abs=0.07)
    for row, one in zip(rows, pairs, strict=True):
        assert 0 < row.score < 1
        assert (row.split, row.weight) == ("train", 1.0)
        assert one.model_dump().items() <= row.model_dump().items()


def test_weights_move_the_labels(store: Store, config: DomainConfig, curated: Any) -> None:
    heavy = config.model_copy(update={"curate": parse(
        {"domain": "x", "curate": {"weights": {"mixed": 0.0}}}
    ).curate})  # fmt: skip
    rows = store.rows(curated(plain_pairs(), plain_opinions(), heavy), LabeledPair)
    assert [row.score for row in rows] == sorted(row.score for row in rows)


def test_pairs_near_evaluation_text_or_without_a_score_are_dropped_with_the_reason(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    pairs, opinions = plain_pairs(), plain_opinions()
    bad = {
        "held_out_document": [
            pair("A held text.", "Of a test document.", "d1", "held"),
            pair("A held text.", "Of a dev document.", "dev", "d2"),
            pair("A text.", "Of no known document.", "d1", "nowhere"),
        ],
        "gold_text": [
            pair("gold  TEXT 2.", "A text of our own."),
            pair("A text of our own.", "Other gold text 9."),
        ],
        "no_score": [pair("Without a score.", "Of one annotator.")],
    }
    for scores in opinions.values():
        scores |= {COUNT + i: 0.5 for i in range(6)}
    opinions["mixed"][COUNT + 5] = None
    reference = curated([*pairs, *(one for rows in bad.values() for one in rows)], opinions, config)
    dropped = store.rows(reference, Dropped, "dropped")
    assert [(drop.record_id, drop.reason) for drop in dropped] == [
        (one.id, reason) for reason, rows in bad.items() for one in rows
    ]
    kept = store.rows(reference, LabeledPair)
    assert {row.id for row in kept} == {one.id for one in pairs}
    summary = store.json(reference)
    assert summary["dropped"] == {"held_out_document": 3, "gold_text": 2, "no_score": 1}
    assert summary["in"] == COUNT + 6 == summary["kept"] + len(dropped)
    assert summary["kept"] == len(kept) == reference.rows


def test_pairs_with_a_text_that_measures_or_nearly_so_are_dropped_wherever_it_was_met(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    bad = [
        pair("A text of our own.", "document  HELD."),
        pair("Document dev!", "Another of our own."),
        pair("Gold text 3!", "A third of our own."),
    ]
    opinions = plain_opinions()
    for scores in opinions.values():
        scores |= {COUNT + i: 0.5 for i in range(3)}
    reference = curated([*plain_pairs(), *bad], opinions, config)
    dropped = store.rows(reference, Dropped, "dropped")
    assert [(drop.record_id, drop.reason) for drop in dropped] == [
        (one.id, "held_out_text") for one in bad
    ]
    assert dropped[0].detail.startswith("as held-out document '")
    assert dropped[2].detail.startswith("as dev gold pair ")
    assert store.json(reference)["in"] == COUNT + 3


def test_a_pair_that_an_annotator_never_saw_has_no_score(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    opinions = plain_opinions()
    del opinions["up"][3]
    summary = store.json(curated(plain_pairs(), opinions, config))
    assert summary["dropped"] == {"no_score": 1}


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [({"min_opinions": 1}, {"no_score": 1}), ({"weights": {"up": 0.0}}, {"no_score": 2}),
     ({"min_opinions": 2}, {"no_score": 4})],
)  # fmt: skip
def test_a_pair_needs_as_many_opinions_as_the_settings_say(
    store: Store, curated: Any, settings: dict[str, Any], dropped: dict[str, int]
) -> None:
    opinions = plain_opinions()
    opinions["up"] |= {3: None, 4: None, 5: None}
    opinions["mixed"] |= {5: None, 6: None}
    reference = curated(plain_pairs(), opinions, parse({"domain": "x", "curate": settings}))
    assert store.json(reference)["dropped"] == dropped
    assert all(0 <= row.score <= 1 for row in store.rows(reference, LabeledPair))


@pytest.mark.parametrize("reason", ["not_asked", "not_reviewed"])
def test_who_is_asked_about_some_pairs_only_is_needed_for_none(reason: str) -> None:
    rows = [
        Annotation(pair_id="1", annotator="judge", score=0.5),
        Annotation(pair_id="1", annotator="second", score=None, reason="refused"),
        Annotation(pair_id="1", annotator="some", score=None, reason=reason),
        Annotation(pair_id="2", annotator="some", score=0.5),
    ]
    opinions = stage.by_annotator(rows)
    assert stage.needing(CurateSettings(), opinions, rows).min_opinions == 2
    assert stage.needing(CurateSettings(min_opinions=3), opinions, rows).min_opinions == 3
    assert stage.needing(CurateSettings(), opinions, rows[:2]).min_opinions == 0


def test_pairs_that_annotators_disagree_about_are_listed_and_kept(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    pairs, opinions = plain_pairs(), plain_opinions()
    reference = curated(pairs, opinions, config)
    rows = store.rows(reference, Disagreement, "disagreements")
    ranks = {name: [(scores[i] - 0.5) / COUNT for i in range(COUNT)]  # type: ignore[operator]
             for name, scores in opinions.items()}  # fmt: skip
    apart = {one.id: abs(up - mixed) for one, up, mixed in
             zip(pairs, ranks["up"], ranks["mixed"], strict=True)}  # fmt: skip
    wide = {key: value for key, value in apart.items() if value > 0.4}
    assert wide
    assert {row.pair_id: row.spread for row in rows} == pytest.approx(wide)
    assert len(rows) == 2 * len(wide)
    summary = store.json(reference)
    assert summary["disagreements"] == {"above": 0.4, "pairs": len(wide)}
    assert summary["kept"] == COUNT


def test_pairs_that_annotators_disagree_about_are_dropped_when_the_settings_say_so(
    store: Store, curated: Any
) -> None:
    settings = {"drop_disagreeing": True, "disagreement": 0.3}
    config = parse({"domain": "x", "curate": settings})
    reference = curated(plain_pairs(), plain_opinions(), config)
    listed = {row.pair_id for row in store.rows(reference, Disagreement, "disagreements")}
    dropped = store.rows(reference, Dropped, "dropped")
    assert {(drop.record_id, drop.reason) for drop in dropped} == {
        (key, "annotators_disagree") for key in listed
    }
    rows = store.rows(reference, LabeledPair)
    assert {row.id for row in rows} == {one.id for one in plain_pairs()} - listed
    assert sorted(row.score for row in rows) == pytest.approx(
        sorted((rankdata([row.score for row in rows]) - 0.5) / len(rows))
    )
    assert store.json(reference)["in"] == COUNT == len(rows) + len(dropped)


def test_when_annotators_disagree_about_every_pair_nothing_is_left(curated: Any) -> None:
    opinions = {"up": {0: 1.0, 1: 2.0}, "down": {0: 2.0, 1: 1.0}}
    config = parse({"domain": "x", "curate": {"drop_disagreeing": True}})
    with pytest.raises(NotEnoughText, match=r"none of the 2 pairs .*'annotators_disagree': 2"):
        curated(plain_pairs()[:2], opinions, config)


def test_an_annotator_that_scored_nothing_leaves_nothing_to_train_on(
    config: DomainConfig, curated: Any
) -> None:
    opinions = plain_opinions() | {"silent": dict.fromkeys(range(COUNT))}
    with pytest.raises(NotEnoughText, match=rf"none of the {COUNT} pairs .*'no_score': {COUNT}"):
        curated(plain_pairs(), opinions, config)


def test_the_summary_shows_the_labels_and_who_agrees_with_whom(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    pairs, opinions = plain_pairs(), plain_opinions()
    reference = curated(pairs, opinions, config)
    rows = store.rows(reference, LabeledPair)
    summary = store.json(reference)
    assert len(summary["histogram"]) == 20
    assert sum(summary["histogram"]) == summary["kept"] == COUNT
    assert sum(summary["histogram"][:10]) == sum(row.score < 0.5 for row in rows)
    assert {name: entry["pairs"] for name, entry in summary["by_strategy"].items()} == {
        "dense": 15, "random": 15
    }  # fmt: skip
    (between,) = summary["between"]
    columns = [[opinions[name][i] for i in range(COUNT)] for name in ("mixed", "up")]
    assert (between["a"], between["b"]) == ("mixed", "up")
    assert between["spearman"] == pytest.approx(spearmanr(*columns).statistic)


def test_agreement_with_gold_rests_on_the_dev_pairs(
    store: Store, config: DomainConfig, curated: Any
) -> None:
    found = store.json(curated(plain_pairs(), plain_opinions(), config))["agreement"]
    assert set(found) == {"up", "mixed", "blend"}
    expected = spearmanr(range(8), [i % 6 for i in range(8)]).statistic
    for entry in found.values():
        assert entry["spearman"] == pytest.approx(expected)
        assert entry["low"] < entry["spearman"] < entry["high"]
        assert entry["pairs"] == 8


def test_without_gold_there_is_no_agreement(store: Store, curated: Any) -> None:
    reference = curated(plain_pairs(), plain_opinions(), parse({"domain": "x"}))
    assert store.json(reference)["agreement"] == {}
    assert reference.rows == COUNT


def test_the_same_opinions_give_the_same_dataset(config: DomainConfig, curated: Any) -> None:
    first, again = (curated(plain_pairs(), plain_opinions(), config) for _ in range(2))
    assert first == again


documents = st.sampled_from(["d1", "d2", "held", "nowhere"])
sides = st.sampled_from(["A text.", "B text.", "C text.", "Gold text.", "gold TEXT."])


@given(
    rows=st.lists(st.tuples(sides, sides, documents, documents), max_size=12),
    scored=st.sets(st.integers(0, 11)),
)
def test_screening_keeps_or_drops_each_pair_once(
    rows: list[tuple[str, str, str, str]], scored: set[int]
) -> None:
    pairs = [pair(*row) for row in rows]
    opinions = {"one": {one.id: 0.5 for i, one in enumerate(pairs) if i in scored}}
    gold = GoldPair(id="g", sentence1="Gold text.", sentence2="More gold.", score=0.5, split="test")
    splits = {"d1": "train", "d2": "train", "held": "test"}
    usable, dropped = stage.screen(pairs, opinions, splits, [gold], CurateSettings())
    assert sorted([one.id for one in usable] + [drop.record_id for drop in dropped]) == sorted(
        one.id for one in pairs
    )
    assert all(drop.reason and drop.stage == "curate" for drop in dropped)
    for one in usable:
        assert {one.document1, one.document2} <= {"d1", "d2"}
        assert "gold text." not in (one.sentence1.lower(), one.sentence2.lower())
        assert one.id in opinions["one"]


@pytest.mark.parametrize(
    ("weights", "found"),
    [({"likelyhood": 2.0}, "unknown likelyhood"), ({"a": 0.0, "b": 0.0}, "every weight is 0")],
)
def test_weights_that_name_nobody_or_leave_nobody_are_refused(
    weights: dict[str, float], found: str
) -> None:
    opinions = {"a": {"pair": 0.5}, "b": {"pair": 0.1}}
    with pytest.raises(ConfigError, match=rf"curate\.weights: {found}; the annotators are a, b"):
        stage.check(CurateSettings(weights=weights), opinions)


def test_more_opinions_than_annotators_that_have_a_say_are_refused() -> None:
    opinions = {"a": {"pair": 0.5}, "b": {"pair": 0.1}}
    stage.check(CurateSettings(min_opinions=2), opinions)
    settings = CurateSettings(min_opinions=2, weights={"a": 0.0})
    with pytest.raises(ConfigError, match=r"curate\.min_opinions: 2 is more than .*\(b\)"):
        stage.check(settings, opinions)
