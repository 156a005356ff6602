"""Mining: pairs that are what they say, that stay when the corpus moves a little, all counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.encoder import Vectors
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.mining.stage import check_shares, mine
from pipeline.mining.strategies import STRATEGIES, Texts
from pipeline.records import Document, digest_of, normalised, pair_id, text_id
from pipeline.sections import MineSettings
from pipeline.sentences import first_and_rest, lead, sentences

Make = Callable[..., Document]

VERBS = ("return", "open", "close", "read", "write", "sort", "count", "parse", "join", "split")
NOUNS = ("file", "socket", "list", "number", "thread", "string", "folder", "queue", "archive")
MANNERS = ("quickly", "twice", "lazily", "safely", "in place", "with a lock", "by size", "at once")
SETTINGS = MineSettings(pairs=120, texts=300, max_words=30)


class HashingEncoder:
    """Vectors of word counts, hashed: near where words are shared, and fast."""

    identity = "hashing"

    def encode(self, texts: Sequence[str], label: str = "") -> Vectors:  # noqa: ARG002
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in normalised(text).split():
                row[int(digest_of(word), 16) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def sentence(draw: random.Random) -> str:
    verb, noun, other = draw.choice(VERBS), draw.choice(NOUNS), draw.choice(NOUNS)
    return f"{verb.title()} the {noun} of a {other} {draw.choice(MANNERS)}."


def corpus(document: Make, count: int, seed: int = 0) -> list[Document]:
    draw = random.Random(seed)
    texts = [" ".join(sentence(draw) for _ in range(draw.randint(1, 4))) for _ in range(count)]
    return [document(text, f"name {i}") for i, text in enumerate(dict.fromkeys(texts))]


@pytest.fixture
def documents(document: Make) -> list[Document]:
    return corpus(document, 200)


def texts_of(documents: list[Document], seed: int = 13) -> Texts:
    halves = [first_and_rest(document.text, SETTINGS.max_words) for document in documents]
    return Texts(
        leads=[lead(document.text, SETTINGS.max_words) for document in documents],
        firsts=[first for first, _ in halves],
        rests=[rest for _, rest in halves],
        encoder=HashingEncoder(),
        seed=seed,
    )


def only(strategy: str, pairs: int = 60) -> MineSettings:
    return SETTINGS.model_copy(update={"shares": {strategy: 1.0}, "pairs": pairs})


def ids(documents: list[Document], settings: MineSettings = SETTINGS) -> set[str]:
    return {pair.id for pair in mine(documents, settings, HashingEncoder())[0]}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_proposes_texts_of_the_documents_it_names(
    name: str, documents: list[Document]
) -> None:
    proposals = list(STRATEGIES[name](texts_of(documents)))
    assert len(proposals) >= len(documents) / 2
    for first, second, one, two in proposals:
        for text, index in ((first, one), (second, two)):
            assert set(sentences(text)) <= set(sentences(documents[index].text))
        assert (one == two) == (name == "same_document")


@pytest.mark.parametrize("name", STRATEGIES)
def test_pairs_are_distinct_hold_two_texts_and_say_where_from(
    name: str, documents: list[Document]
) -> None:
    pairs, _ = mine(documents, only(name), HashingEncoder())
    by_id = {document.id: document for document in documents}
    assert len({pair.id for pair in pairs}) == len(pairs) == 60
    for pair in pairs:
        assert pair.strategy == name
        assert pair.id == pair_id(pair.sentence1, pair.sentence2)
        assert text_id(pair.sentence1) != text_id(pair.sentence2)
        for text in (pair.sentence1, pair.sentence2):
            assert 0 < len(text.split()) <= SETTINGS.max_words
        assert pair.sentence1.split(".")[0] in by_id[pair.document1].text
        assert pair.sentence2.split(".")[0] in by_id[pair.document2].text
        assert pair.name1 == by_id[pair.document1].name
        assert pair.name2 == by_id[pair.document2].name


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_depends_on_the_documents_and_not_on_their_order(
    name: str, documents: list[Document]
) -> None:
    shuffled = random.Random(1).sample(documents, len(documents))
    assert ids(documents, only(name)) == ids(shuffled, only(name))


@pytest.mark.parametrize("name", ["dense", "lexical"])
def test_neighbours_are_nearer_than_random_pairs(name: str, documents: list[Document]) -> None:
    def likeness(strategy: str) -> float:
        pairs, _ = mine(documents, only(strategy), HashingEncoder())
        sides = [HashingEncoder().encode([p.sentence1 for p in pairs]),
                 HashingEncoder().encode([p.sentence2 for p in pairs])]  # fmt: skip
        return float(np.mean(np.sum(sides[0] * sides[1], axis=1)))

    assert likeness(name) > likeness("random") + 0.1


def test_neighbours_come_from_near_and_from_further_away(documents: list[Document]) -> None:
    texts = texts_of(documents)
    ranks = Counter(
        int(np.flatnonzero(texts.dense[one] == two)[0])
        for _, _, one, two in STRATEGIES["dense"](texts)
    )
    assert set(ranks) == {0, 1, 2, 4, 8, 16}
    assert ranks.most_common(1)[0][0] == 0


def test_random_pairs_are_of_different_texts_and_follow_the_seed(
    documents: list[Document],
) -> None:
    one = ids(documents, only("random"))
    other = ids(documents, only("random").model_copy(update={"seed": 14}))
    assert len(one & other) < len(one) / 5


def test_the_same_documents_give_the_same_pairs(documents: list[Document]) -> None:
    first, again = (mine(documents, SETTINGS, HashingEncoder()) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_one_document_more_less_or_other_leaves_the_pairs_as_they_are(
    documents: list[Document], document: Make, change: str
) -> None:
    """At least nine in ten, so labels that are paid for stay in use."""
    new = document("Encrypt the message of a sender twice. Then wait for the reply.", "new")
    other = {
        "added": [*documents, new],
        "removed": documents[1:],
        "changed": [new, *documents[1:]],
    }[change]
    before, after = ids(documents), ids(other)
    assert len(before & after) >= 0.9 * len(before)


def test_a_tenth_more_documents_leave_most_pairs(documents: list[Document], document: Make) -> None:
    more = corpus(document, 20, seed=5)
    before, after = ids(documents), ids(documents + more)
    assert len(before & after) >= 0.5 * len(before)


def test_shares_are_respected(documents: list[Document]) -> None:
    pairs, _ = mine(documents, SETTINGS, HashingEncoder())
    wanted = {name: round(120 * share) for name, share in SETTINGS.shares.items()}
    assert Counter(pair.strategy for pair in pairs) == wanted
    twice = SETTINGS.model_copy(update={"shares": {"random": 1.0, "dense": 0.5, "lexical": 0.0}})
    found = Counter(pair.strategy for pair in mine(documents, twice, HashingEncoder())[0])
    assert found == {"random": 80, "dense": 40}


def test_every_proposal_is_taken_or_dropped_with_a_reason(documents: list[Document]) -> None:
    texts = texts_of(sorted(documents, key=lambda one: digest_of("13", "document", one.id)))
    proposals = {name: len(list(STRATEGIES[name](texts))) for name in SETTINGS.shares}
    pairs, dropped = mine(documents, SETTINGS, HashingEncoder())
    found = Counter(pair.strategy for pair in pairs) + Counter(drop.detail for drop in dropped)
    assert found == proposals
    assert {drop.stage for drop in dropped} == {"mine"}
    assert {drop.reason for drop in dropped} == {"proposed_twice", "over_share"}


def test_a_text_is_never_paired_with_itself(document: Make) -> None:
    """Two documents may open alike; the pair of both openings says nothing."""
    draw = random.Random(3)
    opening = "Return the number of items in the list. "
    documents = [
        document(opening.swapcase() * (i % 2) + opening * (1 - i % 2) + sentence(draw) * 9, str(i))
        for i in range(40)
    ]
    settings = MineSettings(pairs=10, max_words=8)
    with pytest.raises(NotEnoughText):
        mine(documents, settings.model_copy(update={"shares": {"random": 1.0}}), HashingEncoder())
    documents += [document(sentence(draw) + " " + sentence(draw), str(i)) for i in range(40, 60)]
    pairs, dropped = mine(documents, settings, HashingEncoder())
    assert all(text_id(pair.sentence1) != text_id(pair.sentence2) for pair in pairs)
    assert "same_text" in {drop.reason for drop in dropped}


def test_no_more_documents_are_used_than_settings_allow(documents: list[Document]) -> None:
    settings = SETTINGS.model_copy(update={"texts": 40, "pairs": 60})
    pairs, _ = mine(documents, settings, HashingEncoder())
    assert len({name for pair in pairs for name in (pair.document1, pair.document2)}) <= 40


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_too_few_documents_are_refused_with_what_to_do(document: Make, count: int) -> None:
    few = corpus(document, count)
    with pytest.raises(NotEnoughText, match=rf"{count} train documents .* add text, or lower"):
        mine(few, SETTINGS, HashingEncoder())


def test_texts_without_a_word_to_search_for_do_no_harm(document: Make) -> None:
    """Stop words only, or no word at all."""
    odd = [document("The and of it."), document("?! ... --"), document("To be or not to be.")]
    documents = corpus(document, 60) + odd
    pairs, _ = mine(documents, only("lexical", 40), HashingEncoder())
    assert len(pairs) > 30
    with pytest.raises(NotEnoughText):
        mine(odd, only("lexical", 40), HashingEncoder())


@pytest.mark.parametrize("shares", [{"oracle": 1.0}, {"random": 0.0}, {}])
def test_shares_of_unknown_strategies_or_of_nothing_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"mine\.shares.*same_document, dense, lexical, random"):
        check_shares(MineSettings(shares=shares))
