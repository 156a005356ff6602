"""Text that measures a model, found in what trains it, stops the run and is named."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import leakage
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.errors import LeakageError
from pipeline.evaluation import retrieval
from pipeline.gold import GoldPair
from pipeline.leakage import Leak, Report, Trained
from pipeline.records import Document, LabeledPair, pair_id
from pipeline.registered import Text
from pipeline.training import stage as training

Make = Callable[..., Document]

LONG = (
    "Return a list of the lines in the string, breaking at line boundaries. Line breaks are not "
    "included in the resulting list unless keepends is given and true."
)


def gold_pair(left: str, right: str, split: str = "test") -> GoldPair:
    return GoldPair.model_validate(
        {"id": pair_id(left, right), "sentence1": left, "sentence2": right, "score": 0.5,
         "split": split}
    )  # fmt: skip


def pair(left: str, right: str, documents: tuple[str, str] = ("d1", "d2")) -> LabeledPair:
    return LabeledPair(
        id=pair_id(left, right), sentence1=left, sentence2=right, score=0.5, strategy="random",
        split="train", document1=documents[0], document2=documents[1], name1="os.walk",
    )  # fmt: skip


PAIRS = [
    pair("Walk a tree of folders.", "Visit every folder there is."),
    pair("Open a file.", LONG),
]
DOMAIN = parse({"domain": "x"})
ALLOWED = parse({"domain": "x", "allow_leakage": True})


def checked(
    documents: list[Document] = [],  # noqa: B006 - never changed
    gold: list[GoldPair] = [],  # noqa: B006
    pairs: list[LabeledPair] = PAIRS,
) -> Report:
    return leakage.check(Trained(pairs, 0.8), documents, leakage.gold_texts(gold))


def test_nothing_shared_is_counted_and_passes(document: Make) -> None:
    held_out = document("Join paths. The separator is put between them as needed.", split="test")
    report = checked([held_out], [gold_pair("Sort a list.", "Order it.")])
    assert (report.trained, report.measured, report.found.total()) == (4, 5, 0)
    leakage.refuse(report, DOMAIN)
    assert report.summary(allowed=False) == {
        "trained_texts": 4,
        "measured_texts": 5,
        "found": {"document": 0, "exact": 0, "near_duplicate": 0, "embedding": 0},
        "allowed": False,
        "examples": [],
    }


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("text", ["Open a file.", "open  A\nﬁle.", LONG])
def test_a_gold_text_in_training_is_leakage_whatever_its_case_and_spacing(
    split: str, text: str
) -> None:
    report = checked(gold=[gold_pair("Sort a list.", text, split)])
    assert report.found == {"exact": 1}
    where = rf"{split} gold pair .* is in training pair {PAIRS[1].id} \((os\.walk|d2)\)\."
    with pytest.raises(LeakageError, match=where):
        leakage.refuse(report, DOMAIN)


def test_nearly_the_same_words_are_leakage_and_both_texts_are_shown() -> None:
    near = LONG.replace("true.", "set.")
    report = checked(gold=[gold_pair("Sort a list.", near)])
    assert report.found == {"near_duplicate": 1}
    with pytest.raises(
        LeakageError, match=r"'Return a list.*nearly \(Jaccard 0\.9.*'Return a list"
    ):
        leakage.refuse(report, DOMAIN)


def test_every_view_by_which_a_held_out_document_measures_is_looked_at(document: Make) -> None:
    first, rest = "Walk a tree of folders.", "Open a file."
    held_out = document(f"{first} {rest}", "os.path", split="test")
    report = checked([held_out])
    assert report.found == {"exact": 2}
    with pytest.raises(LeakageError, match=r"held-out document 'os\.path'.*\(2 such overlaps\)"):
        leakage.refuse(report, DOMAIN)


def test_the_views_are_those_that_retrieval_measures_with(document: Make) -> None:
    texts = [
        f"The {n} beginning of it is here. " + " ".join([f"Word{n} goes on and on."] * (n % 9))
        for n in range(40)
    ]
    documents = [document(text, split="test") for text in texts]
    task = retrieval.build(documents, DOMAIN.evaluate)
    views = {view.text for view in leakage.views(documents)}
    assert set(task.search.queries) | set(task.search.corpus) <= views


@pytest.mark.parametrize("side", [0, 1])
def test_a_held_out_document_that_gave_a_text_is_leakage(side: int, document: Make) -> None:
    held_out = document("Join paths.", "os.path", split="dev")
    documents = ("d1", held_out.id) if side else (held_out.id, "d1")
    report = checked([held_out], pairs=[*PAIRS, pair("Here it is.", "There.", documents)])
    assert report.found == {"document": 1}
    with pytest.raises(LeakageError, match=r"held-out document 'os\.path' gave '(Here|There)"):
        leakage.refuse(report, DOMAIN)


def test_leakage_that_is_written_down_as_allowed_passes_and_is_logged_and_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = checked(gold=[gold_pair("Open a file.", "Sort a list.")])
    leakage.refuse(report, ALLOWED)
    assert "leakage is allowed: the text 'Open a file.'" in caplog.text
    summary = report.summary(allowed=True)
    assert summary["found"]["exact"] == 1
    assert summary["examples"][0]["trained"] == "Open a file."


def test_the_message_advises_and_long_texts_are_cut() -> None:
    report = checked(gold=[gold_pair(LONG, "Sort a list.")])
    with pytest.raises(LeakageError, match=r"…' of.*write `allow_leakage: true`") as caught:
        leakage.refuse(report, DOMAIN)
    assert len(str(caught.value)) < 400


def test_all_near_texts_are_found_that_comparing_all_with_all_finds() -> None:
    generator = random.Random(1)
    words = [f"{a}{b}" for a in "bdfgklm" for b in ("ana", "elo", "iru", "ota")]
    trained = [" ".join(generator.choices(words, k=30)) for _ in range(60)]
    measured = []
    for text in trained:
        changed = text.split()
        for _ in range(generator.randrange(4)):
            changed[generator.randrange(30)] = "other"
        measured.append(" ".join(changed))
    pairs = [pair(trained[n], trained[n + 1]) for n in range(0, 60, 2)]
    own = Trained(pairs, 0.8)
    found = {
        (leak.trained, leak.measured) for leak in own.same_texts(Text(t, "") for t in measured)
    }
    expected = {(a, b) for a in trained for b in measured if overlap(a, b) >= 0.8}
    assert 20 < len(expected) < 60
    assert found == expected


def overlap(one: str, other: str) -> float:
    first, second = ({tuple(text.split()[n : n + 3]) for n in range(28)} for text in (one, other))
    return len(first & second) / len(first | second)


@pytest.mark.parametrize("size", [1, 2, 1_000])
def test_what_is_found_does_not_depend_on_the_size_of_batches(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    measured = [Text(text, "") for text in ("Open a file.", "Nothing of it.", f"{LONG} Yes.")]
    expected = list(Trained(PAIRS, 0.8).same_texts(measured))
    monkeypatch.setattr(leakage, "_AT_ONCE", size)
    assert list(Trained(PAIRS, 0.8).same_texts(measured)) == expected
    assert [leak.check for leak in expected] == ["exact", "near_duplicate"]


# vectors


def vectors(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_a_text_with_the_vector_of_another_is_told_with_the_nearest_one() -> None:
    trained = [Text("a", "here"), Text("b", "here"), Text("c", "here")]
    own = vectors([1, 0, 0], [0, 1, 0], [0, 0, 1])
    measured = [Text("x", "there"), Text("y", "there")]
    found = list(
        leakage.same_vectors((trained, own), (measured, vectors([0, 0.99, 0.01], [1, 1, 1])), 0.95)
    )
    assert [(leak.check, leak.trained, leak.measured) for leak in found] == [
        ("embedding", "b", "x")
    ]
    assert found[0].similarity > 0.95


def test_what_all_texts_share_does_not_make_them_alike() -> None:
    trained, measured = [Text("a", ""), Text("b", "")], [Text("x", "")]
    own, other = vectors([10, 1, 0], [10, -1, 0]), vectors([10, 0, 1])
    assert not list(leakage.same_vectors((trained, own), (measured, other), 0.95))


def test_equal_texts_are_not_told_again_and_no_text_is_alike_to_none() -> None:
    row, one = Text("Open.", ""), vectors([1.0, 0.0])
    two = ([row, Text("b", "")], vectors([1.0, 0.0], [0.0, 1.0]))
    assert not list(leakage.same_vectors(two, ([Text("open.", "")], one), 0.9))
    assert not list(leakage.same_vectors(([], one[:0]), ([row], one), 0.9))


def test_alike_vectors_stop_a_run_only_where_the_settings_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    leak = Leak(
        check="embedding", trained="a", trained_in="here", measured="b", measured_in="there",
        similarity=0.987,
    )  # fmt: skip
    report = checked().plus([leak] * 9)
    with caplog.at_level(logging.WARNING):
        leakage.refuse(report, DOMAIN)
    assert not caplog.text
    assert report.summary(allowed=False)["found"]["embedding"] == 9
    assert len(report.examples) == leakage.EXAMPLES
    strict = parse({"domain": "x", "leakage": {"embedding": "stop"}})
    with pytest.raises(
        LeakageError, match=r"'b' of there has the vector \(cosine 0\.9870\) of 'a'"
    ):
        leakage.refuse(report, strict)


# at train start


def inputs(
    store: Store, documents: list[Document], pairs: list[LabeledPair]
) -> dict[str, Reference]:
    with store.create("corpus") as corpus:
        corpus.write_rows(documents, Document)
    with store.create("dataset") as labels:
        labels.write_rows(pairs, LabeledPair)
    return {"clean": corpus.reference, "curate": labels.reference}


def test_training_does_not_start_on_text_of_a_held_out_document(
    store: Store, document: Make
) -> None:
    held_out = document("Open a file.", "os.open", split="dev")
    with pytest.raises(LeakageError, match=r"held-out document 'os\.open'"):
        training.run(inputs(store, [held_out], PAIRS), DOMAIN, store)


def test_training_does_not_start_on_text_of_a_registered_evaluation_set(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "sts.csv").write_text("score,sentence1,sentence2\n5,open a  file.,Other text.\n")
    config: DomainConfig = parse(
        {"domain": "x", "leakage": {"registered": [str(tmp_path / "sts.csv")]}}
    )
    with pytest.raises(LeakageError, match=r"'open a  file\.' of .*sts\.csv, row 1 is in training"):
        training.run(inputs(store, [], PAIRS), config, store)
