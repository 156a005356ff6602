"""The annotators that need no language model's likelihood, held against slow witnesses."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from pipeline.annotation.annotators import (
    ANNOTATORS,
    CharTfidf,
    FrozenEncoder,
    Setting,
    WhitenedEncoder,
    build,
)
from pipeline.encoder import cosine
from pipeline.encoder.transformer import EncoderSpec, load_backbone
from pipeline.encoder.whitening import whitening
from pipeline.errors import ConfigError
from pipeline.sections import EncoderSettings, LabelSettings
from pipeline.settings import Home

TEXTS = [
    "Return the size of a file.",
    "return the  SIZE of files",
    "Open a socket.",
    "Größe einer Datei",
    "x",
]
PAIRS = [(a, b) for i, a in enumerate(TEXTS) for b in TEXTS[i:]]


@pytest.fixture
def setting(tiny_backbone: Path, tmp_path: Path) -> Setting:
    encoder = EncoderSettings(backbone=str(tiny_backbone), max_length=24)
    return Setting(LabelSettings(), encoder, Home(tmp_path), sorted(TEXTS))


def grams(text: str) -> Counter[str]:
    """Runs of three to five characters of each word with the spaces around it."""
    total: Counter[str] = Counter()
    for word in text.lower().split():
        padded = f" {word} "
        for size in (3, 4, 5):
            total.update(padded[i : i + size] for i in range(max(1, len(padded) - size + 1)))
            if len(padded) <= size:
                break
    return total


def slow_tfidf(first: str, second: str) -> float:
    documents = Counter(gram for text in TEXTS for gram in set(grams(text)))

    def weighted(text: str) -> dict[str, float]:
        counts = {gram: n for gram, n in grams(text).items() if gram in documents}
        weights = {
            gram: (1 + math.log(n)) * (1 + math.log((1 + len(TEXTS)) / (1 + documents[gram])))
            for gram, n in counts.items()
        }
        norm = math.sqrt(sum(value * value for value in weights.values()))
        return {gram: value / norm for gram, value in weights.items()}

    left, right = weighted(first), weighted(second)
    return sum(value * right.get(gram, 0.0) for gram, value in left.items())


def test_char_tfidf_is_the_cosine_of_weighted_character_runs(setting: Setting) -> None:
    expected = [slow_tfidf(*pair) for pair in PAIRS]
    opinions = CharTfidf(setting).annotate(PAIRS)
    assert opinions.scores == pytest.approx(expected, abs=1e-6)
    assert opinions.reused == 0


def test_char_tfidf_takes_texts_it_was_not_fitted_on(setting: Setting) -> None:
    """Gold pairs are such: what the fitted texts do not hold counts nothing."""
    found = CharTfidf(setting).annotate([("Open a file.", "Open a file."), ("qqqq", "zzzz")]).scores
    assert found == pytest.approx([1, 0], abs=1e-6)


def test_char_tfidf_depends_on_the_texts_it_was_fitted_on(setting: Setting) -> None:
    other = setting._replace(texts=[*setting.texts, "Another text."])
    assert CharTfidf(setting).identity != CharTfidf(other).identity
    assert CharTfidf(setting).identity == CharTfidf(setting).identity


def test_frozen_encoder_is_the_cosine_of_the_backbones_vectors(setting: Setting) -> None:
    encoder = load_backbone(EncoderSpec.of(setting.encoder), setting.home)
    left, right = (encoder.encode([pair[side] for pair in PAIRS]) for side in (0, 1))
    annotator = FrozenEncoder(setting)
    assert annotator.annotate(PAIRS).scores == pytest.approx(cosine(left, right), abs=0.01)
    assert annotator.identity == encoder.identity


def test_whitened_encoder_is_the_cosine_of_vectors_whitened_by_the_texts_of_the_pairs(
    setting: Setting,
) -> None:
    encoder = load_backbone(EncoderSpec.of(setting.encoder), setting.home)
    whitened = whitening(encoder.encode(setting.texts))
    left, right = (whitened(encoder.encode([pair[side] for pair in PAIRS])) for side in (0, 1))
    annotator = WhitenedEncoder(setting)
    assert annotator.annotate(PAIRS).scores == pytest.approx(cosine(left, right), abs=0.02)
    other = setting._replace(texts=[*setting.texts, "Another text."])
    assert WhitenedEncoder(other).identity != annotator.identity


@pytest.mark.parametrize("name", sorted(ANNOTATORS.keys() - {"human"}))  # it has read no file
def test_every_annotator_answers_each_pair_in_order_and_says_the_same_again(
    name: str, setting: Setting
) -> None:
    annotator = build(name, setting)
    assert annotator.name == name
    scores = annotator.annotate(PAIRS).scores
    assert len(scores) == len(PAIRS)
    assert all(math.isfinite(score) for score in scores)
    again = build(name, setting)
    assert again.identity == annotator.identity
    assert again.annotate(PAIRS[::-1]).scores[::-1] == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("name", sorted(ANNOTATORS.keys() - {"human"}))  # it has read no file
def test_the_same_text_twice_is_the_most_similar_of_all(name: str, setting: Setting) -> None:
    """For these annotators; a random backbone's likelihoods say nothing."""
    if name == "likelihood":
        return
    scores = dict(zip(PAIRS, build(name, setting).annotate(PAIRS).scores, strict=True))
    same = [score for (first, second), score in scores.items() if first == second]
    assert same == pytest.approx([1.0] * len(TEXTS), abs=0.01)
    assert max(scores.values()) <= 1.01


def test_an_unknown_annotator_is_refused_with_the_choices(setting: Setting) -> None:
    with pytest.raises(ConfigError, match=r"label.annotators.*'oracle'.*likelihood, char_tfidf"):
        build("oracle", setting)
