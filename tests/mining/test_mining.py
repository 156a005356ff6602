"""Mining: pairs that are what they say, that stay when the corpus moves a little, all counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import ConfigError, NotEnoughText
from pipeline.mining import texts as mining_texts
from pipeline.mining.sampler import SAMPLERS
from pipeline.mining.stage import Mined, check_shares, mine
from pipeline.mining.strategies import STRATEGIES
from pipeline.mining.texts import Texts
from pipeline.records import Document, digest_of, pair_id, text_id
from pipeline.sections import MineSettings
from pipeline.sentences import sentences
from tests.mining.encoders import HashingEncoder

Make = Callable[..., Document]

VERBS = ("return", "open", "close", "read", "write", "sort", "count", "parse", "join", "split")
NOUNS = ("file", "socket", "list", "number", "thread", "string", "folder", "queue", "archive")
MANNERS = ("quickly", "twice", "lazily", "safely", "in place", "with a lock", "by size", "at once")
SETTINGS = MineSettings(sampler="even", pairs=120, texts=300, max_words=30)
SHARES = {"same_document": 0.3, "dense": 0.25, "lexical": 0.25, "random": 0.2}
WITHIN = {"title_body", "same_document", "adjacent_sentences"}  # both texts of one document


def sentence(draw: random.Random) -> str:
    verb, noun, other = draw.choice(VERBS), draw.choice(NOUNS), draw.choice(NOUNS)
    return f"{verb.title()} the {noun} of a {other} {draw.choice(MANNERS)}."


def corpus(document: Make, count: int, seed: int = 0) -> list[Document]:
    """Documents with titles and sections, one in three said to be a duplicate of the next."""
    draw = random.Random(seed)
    texts = [" ".join(sentence(draw) for _ in range(draw.randint(1, 4))) for _ in range(count)]
    return [
        document(
            text,
            f"name {seed} {i}",
            title=" ".join(draw.sample(NOUNS, 3)),
            section=f"section {i % 20}",
            duplicates=f"name {seed} {i + 1}\nelsewhere" if i % 3 else "",
        )
        for i, text in enumerate(dict.fromkeys(texts))
    ]


@pytest.fixture
def documents(document: Make) -> list[Document]:
    return corpus(document, 200)


def with_shares(**changes: object) -> MineSettings:
    return SETTINGS.model_copy(update={"sampler": "shares", "shares": SHARES} | changes)


def texts_of(documents: list[Document], settings: MineSettings = SETTINGS) -> Texts:
    return mining_texts.of(documents, settings, HashingEncoder())


def only(strategy: str, pairs: int = 60) -> MineSettings:
    return SETTINGS.model_copy(update={"shares": {strategy: 1.0}, "pairs": pairs})


def mined(documents: list[Document], settings: MineSettings = SETTINGS) -> Mined:
    return mine(documents, settings, HashingEncoder())


def ids(documents: list[Document], settings: MineSettings = SETTINGS) -> set[str]:
    return {pair.id for pair in mined(documents, settings).pairs}


# strategies


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_proposes_texts_of_the_documents_it_names(
    name: str, documents: list[Document]
) -> None:
    proposals = list(STRATEGIES[name](texts_of(documents)))
    assert len(proposals) >= len(documents) / 2
    for first, second, one, two in proposals:
        for text, index in ((first, one), (second, two)):
            known = {*sentences(documents[index].text), documents[index].title}
            assert text in known or set(sentences(text)) <= known
        assert (one == two) == (name in WITHIN)


@pytest.mark.parametrize("name", STRATEGIES)
def test_pairs_are_distinct_hold_two_texts_and_say_where_from(
    name: str, documents: list[Document]
) -> None:
    pairs = mined(documents, only(name)).pairs
    by_id = {document.id: document for document in documents}
    assert len({pair.id for pair in pairs}) == len(pairs) == 60
    for pair in pairs:
        assert pair.strategy == name
        assert pair.id == pair_id(pair.sentence1, pair.sentence2)
        assert text_id(pair.sentence1) != text_id(pair.sentence2)
        for text, origin, called in (
            (pair.sentence1, pair.document1, pair.name1),
            (pair.sentence2, pair.document2, pair.name2),
        ):
            assert 0 < len(text.split()) <= SETTINGS.max_words
            assert text in by_id[origin].title or text.split(".")[0] in by_id[origin].text
            assert called == by_id[origin].name


@pytest.mark.parametrize("settings", [*map(only, STRATEGIES), with_shares()], ids=str)
def test_pairs_depend_on_the_documents_and_not_on_their_order(
    settings: MineSettings, documents: list[Document]
) -> None:
    shuffled = random.Random(1).sample(documents, len(documents))
    assert ids(documents, settings) == ids(shuffled, settings)


@pytest.mark.parametrize("name", ["dense", "lexical"])
def test_neighbours_are_nearer_than_random_pairs(name: str, documents: list[Document]) -> None:
    def likeness(strategy: str) -> float:
        pairs = mined(documents, with_shares(shares={strategy: 1.0}, pairs=60)).pairs
        sides = [HashingEncoder().encode([p.sentence1 for p in pairs]),
                 HashingEncoder().encode([p.sentence2 for p in pairs])]  # fmt: skip
        return float(np.mean(np.sum(sides[0] * sides[1], axis=1)))

    assert likeness(name) > likeness("random") + 0.1


def test_one_neighbour_a_text_comes_from_near_or_from_further_away(
    documents: list[Document],
) -> None:
    texts = texts_of(documents, with_shares())
    ranks = Counter(
        int(np.flatnonzero(texts.dense.near[one] == two)[0])
        for _, _, one, two in STRATEGIES["dense"](texts)
    )
    assert set(ranks) == {0, 1, 2, 4, 8, 16}
    assert ranks.most_common(1)[0][0] == 0


def test_where_a_sampler_chooses_all_near_neighbours_are_proposed(
    documents: list[Document],
) -> None:
    texts = texts_of(documents)
    found = {(one, two) for _, _, one, two in STRATEGIES["dense"](texts)}
    assert found == {(i, int(j)) for i, row in enumerate(texts.dense.near) for j in row}
    assert len(found) == 17 * len(documents)


def test_chunks_of_a_text_and_texts_of_a_section_come_together(document: Make) -> None:
    draw = random.Random(2)
    chunks = [
        document(sentence(draw) + f" Part {i}.", f"{i}", parent=f"book {i % 3}",
                 section=["One", "Two", ""][i % 9 // 3])
        for i in range(27)
    ]  # fmt: skip
    texts = texts_of(chunks)
    for name, field, groups in (("same_document", "parent", 3), ("same_section", "section", 6)):
        pairs = [(i, j) for _, _, i, j in STRATEGIES[name](texts) if i != j]
        assert len(pairs) == sum(bool(getattr(chunk, field)) for chunk in chunks) - groups
        for i, j in pairs:
            assert chunks[i].parent == chunks[j].parent
            assert getattr(chunks[i], field) == getattr(chunks[j], field) != ""


def test_source_duplicates_pair_what_the_source_names_and_is_there(document: Make) -> None:
    texts = texts_of([
        document("Open the file.", "a", duplicates="b\nsplit to test\na"),
        document("Unlock an archive.", "b"),
        document("Sort the list.", "c", duplicates="b"),
    ])  # fmt: skip
    assert list(STRATEGIES["source_duplicates"](texts)) == [
        ("Open the file.", "Unlock an archive.", 0, 1),
        ("Sort the list.", "Unlock an archive.", 2, 1),
    ]


def test_adjacent_sentences_stand_next_to_each_other_and_say_something(document: Make) -> None:
    text = "Open the file by name. No. Read the bytes of it. Close the file again now."
    texts = texts_of([document(text)])
    assert list(STRATEGIES["adjacent_sentences"](texts)) == [
        ("Read the bytes of it.", "Close the file again now.", 0, 0)
    ]


def test_a_title_of_one_word_is_no_text(document: Make) -> None:
    texts = texts_of([document("Open it now.", title="open"), document("Sort.", title="A list")])
    assert list(STRATEGIES["title_body"](texts)) == [("A list", "Sort.", 1, 1)]


# what stays when the corpus moves


def test_random_pairs_are_of_different_texts_and_follow_the_seed(
    documents: list[Document],
) -> None:
    one = ids(documents, only("random"))
    other = ids(documents, only("random").model_copy(update={"seed": 14}))
    assert len(one & other) < len(one) / 5


@pytest.mark.parametrize("settings", [SETTINGS, with_shares()], ids=["even", "shares"])
def test_the_same_documents_give_the_same_pairs(
    documents: list[Document], settings: MineSettings
) -> None:
    assert mined(documents, settings) == mined(documents, settings)


@pytest.mark.parametrize("settings", [SETTINGS, with_shares()], ids=["even", "shares"])
@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_one_document_more_less_or_other_leaves_the_pairs_as_they_are(
    documents: list[Document], document: Make, change: str, settings: MineSettings
) -> None:
    """At least nine in ten, so labels that are paid for stay in use; a change is two of these."""
    new = document("Encrypt the message of a sender twice. Then wait for the reply.", "new")
    other = {
        "added": [*documents, new],
        "removed": documents[1:],
        "changed": [new, *documents[1:]],
    }[change]
    before, after = ids(documents, settings), ids(other, settings)
    assert len(before & after) >= 0.9 ** (1 + (change == "changed")) * len(before)


@pytest.mark.parametrize("settings", [SETTINGS, with_shares()], ids=["even", "shares"])
def test_a_tenth_more_documents_leave_most_pairs(
    documents: list[Document], document: Make, settings: MineSettings
) -> None:
    more = corpus(document, 20, seed=5)
    before, after = ids(documents, settings), ids(documents + more, settings)
    assert len(before & after) >= 0.5 * len(before)


# fixed shares


def test_shares_are_respected(documents: list[Document]) -> None:
    wanted = {name: round(120 * share) for name, share in SHARES.items()}
    assert Counter(pair.strategy for pair in mined(documents, with_shares()).pairs) == wanted
    twice = with_shares(shares={"random": 1.0, "dense": 0.5, "lexical": 0.0})
    found = Counter(pair.strategy for pair in mined(documents, twice).pairs)
    assert found == {"random": 80, "dense": 40}


def test_shares_take_the_pairs_of_lowest_id(documents: list[Document]) -> None:
    chosen = sorted(documents, key=lambda one: digest_of("13", "document", one.id))
    settings = with_shares(shares={"random": 1.0}, pairs=60)
    proposed = STRATEGIES["random"](texts_of(chosen, settings))
    known = sorted({pair_id(*found[:2]) for found in proposed})
    assert [pair.id for pair in mined(documents, settings).pairs] == known[:60]


# all is counted


@pytest.mark.parametrize("settings", [SETTINGS, with_shares()], ids=["even", "shares"])
def test_every_proposal_is_taken_or_dropped_with_a_reason(
    documents: list[Document], settings: MineSettings
) -> None:
    chosen = sorted(documents, key=lambda one: digest_of("13", "document", one.id))
    texts = texts_of(chosen, settings)
    proposals = sum(len(list(STRATEGIES[name](texts))) for name in texts.settings.shares)
    found = mined(documents, settings)
    assert len(found.pairs) + sum(found.dropped.values()) == proposals
    assert all(found.dropped.values())
    assert set(found.dropped) <= {
        "not_looked_at", "same_text", "proposed_twice", "near_duplicate", "text_used_up",
        "over_share", "not_needed",
    }  # fmt: skip


def test_a_text_is_never_paired_with_itself(document: Make) -> None:
    """Two documents may open alike; the pair of both openings says nothing."""
    draw = random.Random(3)
    opening = "Return the number of items in the list. "
    documents = [
        document(opening.swapcase() * (i % 2) + opening * (1 - i % 2) + sentence(draw) * 9, str(i))
        for i in range(40)
    ]
    for name in SAMPLERS:
        settings = MineSettings(pairs=10, max_words=8, sampler=name)
        alone = settings.model_copy(update={"shares": {"random": 1.0}})
        with pytest.raises(NotEnoughText):
            mined(documents, alone)
        others = [document(sentence(draw) + " " + sentence(draw), str(i)) for i in range(40, 60)]
        pairs, dropped, _ = mined(documents + others, settings)
        assert all(text_id(pair.sentence1) != text_id(pair.sentence2) for pair in pairs)
        assert "same_text" in dropped


def test_no_more_documents_are_used_than_settings_allow(documents: list[Document]) -> None:
    settings = SETTINGS.model_copy(update={"texts": 40, "pairs": 60})
    pairs = mined(documents, settings).pairs
    assert len({name for pair in pairs for name in (pair.document1, pair.document2)}) <= 40


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_too_few_documents_are_refused_with_what_to_do(document: Make, count: int) -> None:
    few = corpus(document, count)
    with pytest.raises(NotEnoughText, match=rf"{count} train documents .* add text, or lower"):
        mined(few, SETTINGS)


def test_texts_without_a_word_to_search_for_do_no_harm(document: Make) -> None:
    """Stop words only, or no word at all."""
    odd = [document("The and of it."), document("?! ... --"), document("To be or not to be.")]
    assert len(mined(corpus(document, 60) + odd, only("lexical", 40)).pairs) > 30
    with pytest.raises(NotEnoughText):
        mined(odd, only("lexical", 40))


@pytest.mark.parametrize("shares", [{"oracle": 1.0}, {"random": 0.0}])
def test_shares_of_unknown_strategies_or_of_nothing_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"mine\.shares.*same_document.*dense, lexical, random"):
        check_shares(MineSettings(shares=shares))
