"""Evaluation text in training data stops the run, and an example is named."""

from __future__ import annotations

import pytest

from pipeline.errors import LeakageError
from pipeline.evaluation.overlap import check
from pipeline.gold import GoldPair
from pipeline.records import Document, LabeledPair, pair_id, text_id


def gold_pair(left: str, right: str, split: str = "test") -> GoldPair:
    return GoldPair.model_validate(
        {"id": pair_id(left, right), "sentence1": left, "sentence2": right, "score": 0.5,
         "split": split}
    )  # fmt: skip


def trained(left: str, right: str, documents: tuple[str, str] = ("d1", "d2")) -> LabeledPair:
    return LabeledPair(
        id=pair_id(left, right), sentence1=left, sentence2=right, score=0.5, strategy="random",
        split="train", document1=documents[0], document2=documents[1], name1="os.walk",
    )  # fmt: skip


def document(text: str) -> Document:
    return Document(id=text_id(text), text=text, name="os.path", source="here", split="test")


TRAINED = [trained("Walk a tree.", "Visit every folder."), trained("Open a file.", "Close it.")]


def test_nothing_shared_is_counted_and_passes() -> None:
    found = check([gold_pair("Sort a list.", "Order it.")], [document("Join paths.")], TRAINED)

    assert found == {"checked": 3, "found": 0}


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("text", ["Walk a tree.", "walk  A\ntree.", "Visit every folder."])
def test_a_gold_text_in_training_is_leakage_whatever_its_case_and_spacing(
    split: str, text: str
) -> None:
    with pytest.raises(
        LeakageError, match=rf"of {split} gold pair .* is in training pair .*os.walk"
    ):
        check([gold_pair("Sort a list.", text, split)], [], TRAINED)


@pytest.mark.parametrize("side", [0, 1])
def test_a_retrieval_document_in_training_is_leakage(side: int) -> None:
    held_out = document("Join paths.")
    documents = ("d1", held_out.id) if side else (held_out.id, "d1")

    with pytest.raises(LeakageError, match=r"retrieval document 'os\.path'"):
        check([], [held_out], [*TRAINED, trained("Here.", "There.", documents)])


def test_the_number_of_overlaps_is_told() -> None:
    with pytest.raises(LeakageError, match=r"\(2 such overlaps\)"):
        check([gold_pair("Walk a tree.", "Open a file.")], [], TRAINED)
