from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from pipeline.cleaning.duplicates import Cluster
from pipeline.cleaning.splits import gold_links, split_of
from pipeline.gold import GoldPair
from pipeline.records import Document
from pipeline.sections import CleanSettings

Make = Callable[..., Document]

SETTINGS = CleanSettings()
NEVER = CleanSettings(test_fraction=0.0)


def gold_pair(split: str, text: str = "Gold text.", name: str = "") -> GoldPair:
    values = {"id": "g", "sentence1": text, "sentence2": "Other.", "score": 0.5, "name1": name}
    return GoldPair.model_validate(values | {"split": split})


def alone(document: Document) -> Cluster:
    return Cluster(document.id, (document,))


def test_the_share_of_test_documents_is_the_one_asked_for(document: Make) -> None:
    groups = [alone(document(f"Text number {n}.")) for n in range(2_000)]
    counts = Counter(split_of(group, {}, SETTINGS) for group in groups)
    assert set(counts) == {"train", "test"}
    assert 0.27 < counts["test"] / 2_000 < 0.33


@pytest.mark.parametrize(("fraction", "split"), [(0.0, "train"), (1.0, "test")])
def test_nothing_or_everything_can_be_held_out(document: Make, fraction: float, split: str) -> None:
    groups = [alone(document(f"Text number {n}.")) for n in range(100)]
    settings = CleanSettings(test_fraction=fraction)
    assert {split_of(group, {}, settings) for group in groups} == {split}


def test_the_seed_draws_other_documents(document: Make) -> None:
    groups = [alone(document(f"Text number {n}.")) for n in range(100)]
    first, second = (
        [split_of(group, {}, CleanSettings(seed=seed)) for group in groups] for seed in (1, 2)
    )
    assert first != second


def test_a_document_is_linked_by_its_name_its_text_or_its_lead(document: Make) -> None:
    long = " ".join(["Word."] * 39 + ["End."] + ["More."] * 20)
    lead = " ".join(["Word."] * 39 + ["End."])
    links = gold_links([gold_pair("dev", lead, name="os.open")])
    for linked in (document("Anything.", "os.open"), document(long), document(lead.upper())):
        assert split_of(alone(linked), links, NEVER) == "dev"
    assert split_of(alone(document("Anything else.", "os.close")), links, NEVER) == "train"


def test_a_gold_pair_without_names_links_no_document_without_a_name(document: Make) -> None:
    nameless = document("Anything.").model_copy(update={"name": ""})
    assert split_of(alone(nameless), gold_links([gold_pair("test")]), NEVER) == "train"


def test_what_dev_and_test_both_speak_of_is_test(document: Make) -> None:
    links = gold_links([gold_pair("dev", name="a"), gold_pair("test", "Another.", name="b")])
    both = Cluster("x", (document("One.", "a"), document("Two.", "b")))
    assert split_of(both, links, NEVER) == "test"


def test_a_whole_cluster_follows_the_member_that_gold_speaks_of(document: Make) -> None:
    links = gold_links([gold_pair("test", name="b")])
    cluster = Cluster("x", (document("One.", "a"), document("Two.", "b")))
    assert split_of(cluster, links, NEVER) == "test"
