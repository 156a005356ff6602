from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline import gold
from pipeline.config import CHECKOUT, parse
from pipeline.evaluation.metrics import spearman
from pipeline.gold import GoldPair
from pipeline.records import normalised

FOLDER = CHECKOUT / "data" / "general"
# The grades that a category may have: a pair outside was scored or filed wrongly.
GRADES = {
    "paraphrase_low_overlap": (4, 5), "paraphrase_high_overlap": (4, 5),
    "headline_and_text": (3.5, 4.5), "entailed": (3.5, 4), "detail_changed": (3, 4),
    "question_forms": (1, 3.5), "high_overlap_different_meaning": (1.5, 2.5),
    "same_situation": (1.5, 2.5), "same_topic": (0.5, 1.5),
    "shared_words_other_sense": (0, 0.5), "unrelated": (0, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs() -> list[GoldPair]:
    path = str(FOLDER / "gold_pairs.csv")
    return gold.load(parse({"domain": "x", "evaluate": {"gold": path, "max_score": 5.0}}))


def texts(pairs: list[GoldPair], split: str) -> list[str]:
    chosen = [pair for pair in pairs if pair.split == split]
    return [text for pair in chosen for text in (pair.sentence1, pair.sentence2)]


def test_scores_are_halves_spread_evenly_over_the_scale_in_both_splits(
    pairs: list[GoldPair],
) -> None:
    for split, smallest in (("dev", 10), ("test", 24)):
        found = Counter(pair.score * 5 for pair in pairs if pair.split == split)
        assert sorted(found) == pytest.approx([step / 2 for step in range(11)])
        assert min(found.values()) >= smallest
        assert max(found.values()) <= 2 * smallest


def test_each_category_has_only_grades_that_it_may_have(pairs: list[GoldPair]) -> None:
    assert {pair.category for pair in pairs} == set(GRADES)
    for pair in pairs:
        low, high = GRADES[pair.category]
        assert low <= round(pair.score * 5, 6) <= high, pair


def test_no_text_is_in_both_splits(pairs: list[GoldPair]) -> None:
    dev, test = ({normalised(text) for text in texts(pairs, name)} for name in ("dev", "test"))
    assert len(dev) > 200
    assert not dev & test


def test_no_text_stands_in_more_than_three_pairs_and_none_with_itself(
    pairs: list[GoldPair],
) -> None:
    found = Counter(map(normalised, texts(pairs, "dev") + texts(pairs, "test")))
    assert set(found.values()) == {1, 3}
    assert all(normalised(pair.sentence1) != normalised(pair.sentence2) for pair in pairs)


def test_word_overlap_does_not_solve_it(pairs: list[GoldPair]) -> None:
    everything = texts(pairs, "dev") + texts(pairs, "test")
    for analyzer, sizes in (("char_wb", (3, 5)), ("word", (1, 1))):
        vectoriser = TfidfVectorizer(analyzer=analyzer, ngram_range=sizes, sublinear_tf=True)
        vectoriser.fit(everything)
        left, right = (
            vectoriser.transform([getattr(pair, side) for pair in pairs])
            for side in ("sentence1", "sentence2")
        )
        cosines = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        rho = spearman(np.array([pair.score for pair in pairs]), cosines)
        assert 0.1 < rho < 0.4


def test_the_readme_counts_what_is_in_the_file(pairs: list[GoldPair]) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`.*\| (\d+) \| (\d+) \|$", readme, re.MULTILINE)
    told = {name: (int(dev), int(test)) for name, dev, test in rows}
    found = Counter((pair.category, pair.split) for pair in pairs)
    assert told == {name: (found[name, "dev"], found[name, "test"]) for name in GRADES}
    dev = sum(count for (_, split), count in found.items() if split == "dev")
    assert f"`dev` ({dev} pairs)" in readme
    assert f"`test` ({len(pairs) - dev} pairs)" in readme
    assert f"holds {len(pairs)} pairs" in readme
