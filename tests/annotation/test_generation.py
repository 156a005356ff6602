"""Variants that a chat model writes, asked of a real endpoint, and which become labelled pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import prompts
from pipeline.annotation import generation, stage
from pipeline.annotation.annotators import CharTfidf, Setting
from pipeline.artifacts import PARTIAL, Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.curation import stage as curation
from pipeline.errors import ConfigError, EndpointError
from pipeline.export import dataset, report_data
from pipeline.records import (
    Annotation,
    Document,
    Dropped,
    LabeledPair,
    Pair,
    pair_id,
    text_id,
)
from pipeline.runs import RunRecord
from pipeline.sections import GenerateSettings
from tests.endpoint.fixtures import Endpoint, start

TEXTS = (
    "Open a socket and read all the bytes that have arrived.",
    "Sort the list of numbers in place, smallest first.",
    "Return the size of the file in bytes.",
    "Close the file after its last line was read.",
    "Remove white space from both ends of the string.",
    "Wait until the lock is free or the time is over.",
    "Create a folder for files that are needed for a moment.",
    "Parse the date and return day, month and year.",
)
THINGS = ("a network link", "the figures", "a document", "its pages", "some words", "a gate",
          "the shelf", "the calendar")  # fmt: skip
SENTENCES = {
    "5": "What it does with {thing} can be told in quite another way, number {n}.",
    "4": "One can say nearly this of {thing}, but for a detail, number {n}.",
    "3": "Much of {thing} is kept by number {n}, and something that counts is not.",
    "2": "Number {n} has {thing} as its subject and says the contrary.",
    "1": "People who know {thing} may also have heard of the neighbour of number {n}.",
    "0": "The weather in the mountains was fine on day {n} of the journey.",
}


def graded(number: int, **changes: str) -> str:
    """Return a writer's answer about a text: six variants, some of them replaced."""
    answer = {grade: text.format(thing=THINGS[number], n=number + 1)
              for grade, text in SENTENCES.items()}  # fmt: skip
    return json.dumps(answer | {grade.removeprefix("level_"): t for grade, t in changes.items()})


def says(contents: dict[int, str]) -> dict[str, Any]:
    """Return a script by which each text gets an answer of its own."""
    return {"rules": [{"fault": "scripted", "contains": TEXTS[number], "content": content}
                      for number, content in contents.items()]}  # fmt: skip


def pair(first: str, second: str, one: str, two: str) -> Pair:
    return Pair(
        id=pair_id(first, second), sentence1=first, sentence2=second, strategy="random",
        document1=one, document2=two, name1=f"name of {one}", name2=f"name of {two}",
    )  # fmt: skip


def documents() -> list[Document]:
    return [
        Document(id=f"d{n}", text=text, name=f"name of d{n}", source="test", licence="CC0-1.0")
        for n, text in enumerate(TEXTS)
    ]


def mined(count: int = len(TEXTS)) -> list[Pair]:
    """Return pairs of neighbouring texts, so that every text is there."""
    return [pair(TEXTS[n - 1], TEXTS[n], f"d{n - 1}", f"d{n}") for n in range(1, count)]


def inputs_of(store: Store, pairs: list[Pair]) -> dict[str, Reference]:
    with store.create("corpus") as corpus:
        held = Document(id="held", text="A text nobody trains on. It has two sentences.",
                        name="held", source="test", split="test")  # fmt: skip
        corpus.write_rows([*documents(), held], Document)
        corpus.write_json({"dropped": {}, "in": 9, "kept": 9})
    with store.create("pairs") as draft:
        draft.write_rows(pairs, Pair)
        draft.write_json({"dropped": {}, "pairs": len(pairs), "strategies": {"random": len(pairs)}})
    return {"clean": corpus.reference, "mine": draft.reference}


@pytest.fixture(scope="module")
def writing() -> Iterator[Endpoint]:
    with start() as running:
        yield running


@pytest.fixture(scope="module")
def judging() -> Iterator[Endpoint]:
    with start() as running:
        yield running


@pytest.fixture
def writer(writing: Endpoint) -> Endpoint:
    """An endpoint that writes six good variants of each text."""
    writing.reset()
    writing.script(says({n: graded(n) for n in range(len(TEXTS))}))
    return writing


@pytest.fixture
def judge(judging: Endpoint) -> Endpoint:
    judging.script({})
    judging.reset()
    return judging


def settings(writer: Endpoint, judge: Endpoint | None = None, **label: Any) -> dict[str, Any]:
    generate = {"annotator": "writer", **label.pop("generate", {})}
    chat = {"writer": {"base_url": writer.url, "model": "writer-1", "key": ""}}
    if judge:
        chat["judge"] = {"base_url": judge.url, "model": "judge-1", "key": ""}
    names = ["judge", "char_tfidf"] if judge else ["char_tfidf"]
    return {
        "domain": "tiny", "chat": chat,
        "label": {"annotators": names, "generate": generate, **label},
    }  # fmt: skip


def written(store: Store, reference: Reference) -> list[Pair]:
    return store.rows(reference, Pair, "generated")


def dropped(store: Store, reference: Reference) -> list[Dropped]:
    return store.rows(reference, Dropped, "dropped")


# Which texts are written of

sides = st.tuples(st.integers(0, 30), st.integers(0, 5))


@given(rows=st.lists(st.tuples(sides, sides), max_size=30), wanted=st.integers(1, 40))
def test_texts_are_spread_over_the_documents_and_none_comes_twice(
    rows: list[tuple[tuple[int, int], tuple[int, int]]], wanted: int
) -> None:
    pairs = [pair(f"Text {a}", f"text  {b}", f"d{c}", f"d{d}") for (a, c), (b, d) in rows]
    without = {text_id("Text 1"), text_id("Text 2")}
    chosen = generation.sources(pairs, wanted, without)
    every = generation.sources(pairs, 1_000, without)
    there = {text_id(text) for one in pairs for text in (one.sentence1, one.sentence2)}
    assert sorted(text_id(one.text) for one in every) == sorted(there - without)
    assert chosen == every[:wanted]
    taken, whole = (Counter(one.document for one in some) for some in (chosen, every))
    for name, count in taken.items():
        assert all(taken[other] >= min(count - 1, whole[other]) for other in whole), name


def test_a_few_more_documents_change_few_of_the_texts() -> None:
    pairs = [pair(f"Text {n}.", f"Text {n + 1}.", f"d{n}", f"d{n + 1}") for n in range(200)]
    more = [pair(f"Other text {n}.", f"Text {n}.", f"e{n}", f"d{n}") for n in range(10)]
    before = {one.text for one in generation.sources(pairs, 50, set())}
    after = {one.text for one in generation.sources([*more, *pairs], 50, set())}
    assert len(before & after) >= 40


# What is asked, and what becomes of the answers


def test_a_prompt_of_ones_own_without_a_relation_is_asked_once_for_the_same_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = "name: reworded\nversion: 9\ntask: t\nlanguage: en\ndescription: d\noutput: sentences"
    template = "[user]\n{{ fence }} {{ text }}"
    (tmp_path / "reworded.v9.txt").write_text(f"---\n{front}\n---\n{template}")
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    source = generation.Source(TEXTS[0], "d0", "")
    (topic,) = generation.topics(source, GenerateSettings(prompt="reworded.v9"))
    assert (topic.subject, topic.part) == (text_id(TEXTS[0]), "same 2")


def test_a_graded_answer_becomes_six_pairs_that_claim_no_label(
    store: Store, writer: Endpoint, judge: Endpoint
) -> None:
    config = parse(settings(writer, judge, generate={"texts": 3}))
    reference = stage.run(inputs_of(store, mined()), config, store)
    rows = written(store, reference)
    levels = Counter(row.strategy for row in rows)
    assert levels == {f"generated_level_{grade}": 3 for grade in range(6)}
    for row in rows:
        number = TEXTS.index(row.sentence1)
        assert row.sentence2 == SENTENCES[row.strategy[-1]].format(
            thing=THINGS[number], n=number + 1
        )
        assert row.id == pair_id(row.sentence1, row.sentence2)
        assert (row.document1, row.document2) == (f"d{number}", f"d{number}")
        assert (row.name1, row.name2) == (f"name of d{number}", f"name of d{number}")
    annotations = store.rows(reference, Annotation)
    for name in ("judge", "char_tfidf"):
        scored = [one.pair_id for one in annotations if one.annotator == name]
        assert scored == [one.id for one in [*mined(), *rows]]
    assert all(one.score is not None for one in annotations)
    assert writer.summary()["asked"] == 3
    texts = {text for one in [*mined(), *rows] for text in (one.sentence1, one.sentence2)}
    setting = Setting(config.label, config.encoder, store.home, sorted(texts))
    found = store.json(reference)["annotators"]["char_tfidf"]
    assert found["identity"] == CharTfidf(setting).identity


def test_the_papers_prompt_is_asked_for_each_meaning_in_its_own_words(
    store: Store, writer: Endpoint
) -> None:
    listed = "\n".join(f"{n}. {SENTENCES[grade].format(thing='it', n=n)}"
                       for n, grade in enumerate("5432", start=1))  # fmt: skip
    writer.script({"rules": [
        {"fault": "scripted", "contains": "generate 2 synonymous sentences", "content": listed},
        {"fault": "scripted", "contains": "generate 2 antonym sentences", "content":
         "1. " + SENTENCES["0"].format(n=7)},
    ]})  # fmt: skip
    generate = {"prompt": "synonym-antonym.v1", "texts": 2, "size": 2}
    config = parse(settings(writer, generate=generate))
    reference = stage.run(inputs_of(store, mined()), config, store)
    kinds = Counter(row.strategy for row in written(store, reference))
    assert kinds == {"generated_same": 4, "generated_opposite": 2}
    reasons = Counter(row.reason for row in dropped(store, reference))
    assert reasons == {"more_than_asked": 4}
    assert writer.summary()["asked"] == 4


def test_queries_are_short_and_kept(store: Store, writer: Endpoint) -> None:
    content = json.dumps({"queries": ["how big is it", "read everything"]})
    writer.script({"rules": [{"fault": "scripted", "content": content}]})
    generate = {"prompt": "query-writer.v1", "texts": 3}
    config = parse(settings(writer, generate=generate))
    reference = stage.run(inputs_of(store, mined()), config, store)
    assert Counter(row.strategy for row in written(store, reference)) == {"generated_query": 6}


def test_every_variant_and_every_unanswered_question_is_a_pair_or_has_a_reason(
    store: Store, writer: Endpoint
) -> None:
    writer.script({"rules": [
        {"fault": "refusal", "contains": TEXTS[0]},
        {"fault": "content_filter", "contains": TEXTS[1]},
        *says({
            2: "I would rather not write these.",
            3: graded(3, level_5=TEXTS[3], level_4="...", level_3="3. A third of it."),
            4: graded(4, level_5=TEXTS[3], level_4=TEXTS[5]),
            5: graded(5, level_0=SENTENCES["5"].format(thing=THINGS[5], n=6), level_1=TEXTS[4]),
            6: graded(6),
        })["rules"],
    ]})  # fmt: skip
    config = parse(settings(writer, generate={"texts": 7}))
    pairs = mined(7)
    reference = stage.run(inputs_of(store, pairs), config, store)
    drops = dropped(store, reference)
    assert Counter(row.reason for row in drops) == {
        "refused": 1, "content_filter": 1, "wrong_levels": 1, "exact_copy": 1, "no_words": 1,
        "list_marker": 1, "duplicate": 4,
    }  # fmt: skip
    assert {row.stage for row in drops} == {"label"}
    asked = {row.record_id: row.detail for row in drops if row.reason == "refused"}
    assert asked == {text_id(TEXTS[0]): "generated_level"}
    summary = store.json(reference)["generated"]
    rows = written(store, reference)
    assert (summary["kept"], summary["in"]) == (len(rows), len(rows) + len(drops)) == (17, 27)
    assert summary["in"] == 3 + 4 * 6
    ids = [row.id for row in [*pairs, *rows]]
    assert len(set(ids)) == len(ids)
    assert store.json(reference)[PARTIAL] == ""


def test_a_rerun_asks_nothing_and_comes_to_the_same(
    store: Store, writer: Endpoint, judge: Endpoint
) -> None:
    config = parse(settings(writer, judge))
    inputs = inputs_of(store, mined())
    first = stage.run(inputs, config, store)
    asked = writer.summary()["asked"], judge.summary()["asked"]
    assert asked[0] == len(TEXTS)
    writer.script({"rules": [{"fault": "server_error"}]})
    judge.script({"rules": [{"fault": "server_error"}]})
    assert stage.run(inputs, config, store) == first
    assert (writer.summary()["asked"], judge.summary()["asked"]) == asked


def test_more_texts_ask_only_about_the_new_ones(store: Store, writer: Endpoint) -> None:
    inputs = inputs_of(store, mined())
    for texts in (3, 5):
        config = parse(settings(writer, generate={"texts": texts}))
        reference = stage.run(inputs, config, store)
        assert writer.summary()["asked"] == texts
    assert store.json(reference)["generated"]["reused"] == 3


def test_writing_and_scoring_share_one_budget_and_what_is_missing_is_said(
    store: Store, writer: Endpoint, judge: Endpoint
) -> None:
    inputs = inputs_of(store, mined())
    config = parse(settings(writer, judge, budget_requests=5))
    reference = stage.run(inputs, config, store)
    assert (writer.summary()["billed"], judge.summary()["billed"]) == (5, 0)
    assert store.json(reference)["generated"]["kept"] == 30
    assert Counter(row.reason for row in dropped(store, reference)) == {"budget_ended": 3}
    partial = store.json(reference)[PARTIAL]
    assert partial.startswith("writing: 3 budget_ended; judge: ")
    again = stage.run(inputs, parse(settings(writer, judge, budget_requests=12)), store)
    assert (writer.summary()["billed"], judge.summary()["billed"]) == (8, 4)
    assert "writing" not in store.json(again)[PARTIAL]
    assert store.json(again)["generated"]["kept"] == 48


def test_without_a_writer_nothing_is_written_and_nothing_is_missing(store: Store) -> None:
    config = parse({"domain": "tiny", "label": {"annotators": ["char_tfidf"]}})
    reference = stage.run(inputs_of(store, mined()), config, store)
    assert written(store, reference) == dropped(store, reference) == []
    assert store.json(reference)["generated"] == {}
    assert reference.rows == len(mined())


# What is refused before anything is asked


def panel(*annotators: str, writer: str = "a", **changes: Any) -> DomainConfig:
    local = {"base_url": "http://127.0.0.1:9/v1", "key": ""}
    chat = {"a": {**local, "model": "m1"}, "b": {**local, "model": "m2"},
            "again": {**local, "model": "m1", "prompt": "similarity-digit.v1"}}  # fmt: skip
    return parse({
        "domain": "x", "chat": chat,
        "label": {"annotators": annotators, "generate": {"annotator": writer, **changes}},
    })  # fmt: skip


@pytest.mark.parametrize("annotators", [("a",), ("again",), ("a", "again")])
def test_a_writer_that_alone_would_judge_its_own_texts_is_refused(
    annotators: tuple[str, ...],
) -> None:
    with pytest.raises(
        ConfigError, match=r"label\.generate\.annotator \(a\) .*'m1'.* label\.annotators"
    ):
        generation.check(panel(*annotators))


@pytest.mark.parametrize(
    ("annotators", "others"),
    [(("a", "b"), ["b"]), (("b",), ["b"]), (("a", "char_tfidf"), ["char_tfidf"]),
     (("again", "likelihood", "b"), ["likelihood", "b"]), (("human",), ["human"])],
)  # fmt: skip
def test_another_model_among_the_annotators_makes_a_writer_acceptable(
    annotators: tuple[str, ...], others: list[str]
) -> None:
    config = panel(*annotators)
    generation.check(config)
    assert generation.independent(config) == others


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (panel("b", writer="c"), r"label\.generate\.annotator: 'c' is not .* \(a, b, again\)"),
        (panel("b", prompt="similarity.v1"), r"label\.generate\.prompt: similarity\.v1 does not"),
        (panel("b", prompt="none.v1"), r"there is no prompt 'none\.v1'"),
    ],
)
def test_a_writer_that_cannot_write_is_refused_before_anything_is_asked(
    store: Store, config: DomainConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        stage.run(inputs_of(store, mined()), config, store)


def test_a_budget_in_dollars_needs_the_price_of_the_writer(store: Store) -> None:
    config = parse({
        "domain": "x",
        "chat": {"writer": {"base_url": "https://example.invalid/v1", "model": "unheard-of"}},
        "label": {"annotators": ["char_tfidf"], "budget_usd": 1,
                  "generate": {"annotator": "writer"}},
    })  # fmt: skip
    with pytest.raises(ConfigError, match=r"label\.budget_usd: .*chat\.writer\.price_input"):
        stage.run(inputs_of(store, mined()), config, store)


def test_an_endpoint_that_refuses_the_key_is_named(
    store: Store, writer: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.script({"key": "sk-good"})
    monkeypatch.setenv("WRITER_KEY", "sk-bad-0123456789")
    values = settings(writer)
    values["chat"]["writer"]["key"] = "WRITER_KEY"
    with pytest.raises(EndpointError, match=r"chat\.writer at .*WRITER_KEY") as caught:
        stage.run(inputs_of(store, mined()), parse(values), store)
    assert "sk-bad" not in str(caught.value)


# From texts to labels


def curated(store: Store, inputs: dict[str, Reference], config: DomainConfig) -> Reference:
    inputs["label"] = stage.run(inputs, config, store)
    inputs["curate"] = curation.run(inputs, config, store)
    return inputs["curate"]


def test_labels_of_written_pairs_come_from_the_annotators_whatever_was_asked_for(
    store: Store, writer: Endpoint
) -> None:
    inputs = inputs_of(store, mined())
    reference = curated(store, inputs, parse(settings(writer)))
    rows = store.rows(reference, LabeledPair)
    summary = store.json(reference)
    assert summary["in"] == 7 + 48 == summary["kept"] + sum(summary["dropped"].values())
    assert summary["by_strategy"].keys() == {
        "random", *(f"generated_level_{grade}" for grade in range(6))
    }  # fmt: skip
    assert len(rows) == 55
    scores = {one.pair_id: one.score for one in store.rows(inputs["label"], Annotation)}
    by_score = sorted(rows, key=lambda row: scores[row.id])
    assert [row.score for row in by_score] == sorted(row.score for row in rows)
    asked_for = [int(row.strategy[-1]) for row in by_score if row.strategy != "random"]
    assert asked_for != sorted(asked_for)


def test_neither_gold_nor_held_out_text_enters_through_a_writer(
    store: Store, writer: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text(
        "sentence1,sentence2,score,split\n"
        f'"{TEXTS[0].upper()}",Read what has come in from afar.,4,dev\n'
        "A gold text of the test set.,Another of its texts.,1,test\n"
    )
    writer.script(says(
        {n: graded(n) for n in range(len(TEXTS)) if n not in (1, 2, 3)}
        | {1: graded(1, level_5="A GOLD  text of the test set.",
                     level_4="Read what has come in from afar."),
           2: graded(2, level_5="a text nobody trains on. it has two sentences.",
                     level_4="A text nobody trains on."),
           3: graded(3)}
    ))  # fmt: skip
    config = parse(settings(writer, judge) | {"evaluate": {"gold": str(gold)}})
    inputs = inputs_of(store, mined())
    reference = curated(store, inputs, config)
    assert all(row.sentence1 != TEXTS[0] for row in written(store, inputs["label"]))
    assert writer.summary()["asked"] == len(TEXTS) - 1
    reasons = Counter(row.reason for row in dropped(store, reference))
    assert reasons == {"gold_text": 3, "held_out_text": 2}
    trained = {text_id(text) for row in store.rows(reference, LabeledPair)
               for text in (row.sentence1, row.sentence2)}  # fmt: skip
    kept_out = (
        TEXTS[0], "Read what has come in from afar.", "A gold text of the test set.",
        "A text nobody trains on. It has two sentences.", "A text nobody trains on.",
    )  # fmt: skip
    assert not trained & {text_id(text) for text in kept_out}
    assert text_id(TEXTS[3]) in trained


def test_a_pair_that_only_its_writer_scored_is_no_label(
    store: Store, writer: Endpoint, judge: Endpoint
) -> None:
    values = settings(writer, judge)
    values["chat"]["own"] = {"base_url": judge.url, "model": "writer-1", "key": "",
                             "prompt": "similarity-digit.v1"}  # fmt: skip
    judge.script({"rules": [{"fault": "refusal", "contains": "judge-1"}]})
    values["label"]["annotators"] = ["judge", "own"]
    values["curate"] = {"min_opinions": 1}
    inputs = inputs_of(store, mined())
    reference = curated(store, inputs, parse(values))
    reasons = Counter(row.reason for row in dropped(store, reference))
    assert reasons == {"no_independent_score": 48}
    assert {row.strategy for row in store.rows(reference, LabeledPair)} == {"random"}


def test_an_independent_annotator_without_a_say_does_not_count(
    store: Store, writer: Endpoint, judge: Endpoint
) -> None:
    values = settings(writer, judge) | {"curate": {"weights": {"char_tfidf": 0}}}
    values["chat"]["judge"]["model"] = "writer-1"
    reference = curated(store, inputs_of(store, mined()), parse(values))
    assert store.json(reference)["dropped"] == {"no_independent_score": 48}


def test_card_and_report_say_what_a_model_wrote(
    store: Store, writer: Endpoint, judge: Endpoint, tmp_path: Path
) -> None:
    writer.script(says({n: graded(n, level_0="...") for n in range(len(TEXTS))}))
    config = parse(settings(writer, judge))
    inputs = inputs_of(store, mined())
    curated(store, inputs, config)
    with store.create("evaluation") as draft:
        draft.write_json({})
    dataset.write(tmp_path, inputs | {"evaluate": draft.reference}, config, store)
    card = (tmp_path / "README.md").read_text()
    assert "| generated level 5 | 8 |" in card
    assert "language model\n`writer-1` wrote (prompt `graded-variants.v1`)" in card
    assert "each at least by judge or char tfidf, which did not write it" in card
    assert "| label | no words | 8 |" in card
    run = RunRecord(id="r", domain="tiny", started="", status="completed", config={})
    data = report_data.gather(run, inputs, store)
    step = next(row for row in data["funnel"] if row["stage"] == "label")
    assert (step["in"], step["out"], step["dropped"]) == (48, 40, {"no_words": 8})
    assert data["labels"]["generated"]["model"] == "writer-1"
    assert data["labels"]["by_strategy"]["generated_level_3"]["pairs"] == 8
