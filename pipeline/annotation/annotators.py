"""The annotators. Adding an embedded one is a class and a line in ``ANNOTATORS``.

An annotator has a name, an identity (everything that decides its scores) and gives each pair a
score on a scale of its own, higher for more similar, or none with a reason. Chat models are named
in the domain file under ``chat``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline import prompts
from pipeline.annotation.human import Human
from pipeline.annotation.opinions import Annotator, Opinions, Terms, TextPair
from pipeline.artifacts import stage_key
from pipeline.encoder import Vectors, backbone, cosine, known
from pipeline.encoder.cache import VectorCache
from pipeline.encoder.whitening import whitening
from pipeline.errors import ConfigError
from pipeline.journal import Journal
from pipeline.progress import Progress
from pipeline.records import digest_of, pair_id
from pipeline.sections import ChatSettings, EncoderSettings, LabelSettings
from pipeline.settings import Home

_CHUNK: Final = 64  # pairs asked before they are committed


class Setting(NamedTuple):
    """What annotators are built from."""

    label: LabelSettings
    encoder: EncoderSettings
    home: Home
    texts: list[str]  # the texts of the pairs to be labelled, sorted, once each
    chat: Mapping[str, ChatSettings] = {}
    terms: Terms = Terms()


class Likelihood:
    """The likelihood annotator; every score is journaled, the model loaded only when needed."""

    name = "likelihood"

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._prompt = prompts.load(setting.label.prompt)
        encoder = setting.encoder
        self._model = known.language_model(encoder.backbone, encoder.revision)
        weights = backbone.identity(*self._model)
        self.identity = stage_key(
            self.name,
            1,
            weights=weights,
            prompt=prompts.identity(setting.label.prompt),
            max_length=encoder.max_length,
        )

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the likelihood scores; a killed run repeats at most one chunk."""
        keys = [pair_id(*pair) for pair in pairs]
        with closing(Journal(self._setting.home.journal / "annotations.sqlite")) as journal:
            held = _scores(journal.read(self.identity, keys))
            new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in held}
            if new:
                held |= self._ask(new, journal)
        return Opinions([held[key] for key in keys], reused=len(set(keys)) - len(new))

    def _ask(self, pairs: Mapping[str, TextPair], journal: Journal) -> dict[str, float]:
        from pipeline.annotation.likelihood import LikelihoodModel  # noqa: PLC0415 - torch

        (name, revision), home = self._model, self._setting.home
        max_length = self._setting.encoder.max_length
        model = LikelihoodModel(name, self._prompt, max_length, home, revision)
        alone = self._alone(model, [text for pair in pairs.values() for text in pair], journal)
        scores: dict[str, float] = {}
        order = sorted(pairs, key=lambda key: len(pairs[key][0]) + len(pairs[key][1]))
        with Progress("likelihood of pairs", len(order), "pair") as progress:
            for start in range(0, len(order), _CHUNK):
                chunk = order[start : start + _CHUNK]
                values = model.scores([pairs[key] for key in chunk], alone)
                part = dict(zip(chunk, values, strict=True))
                journal.write(self.identity, _bytes(part))
                scores |= part
                progress.advance(len(chunk))
        return scores

    def _alone(
        self, model: LikelihoodScorer, texts: list[str], journal: Journal
    ) -> dict[str, float]:
        owner = f"{self.identity}-alone"
        keys = {text: digest_of(text) for text in texts}  # a model tells "A" from "a"
        held = _scores(journal.read(owner, list(keys.values())))
        missing = sorted((text for text, key in keys.items() if key not in held), key=len)
        with Progress("likelihood of texts", len(missing), "text") as progress:
            for start in range(0, len(missing), _CHUNK):
                values = model.alone(missing[start : start + _CHUNK])
                part = {keys[text]: value for text, value in values.items()}
                journal.write(owner, _bytes(part))
                held |= part
                progress.advance(len(values))
        return {text: held[key] for text, key in keys.items()}


class LikelihoodScorer(Protocol):
    """The part of `LikelihoodModel` used here; that module imports torch."""

    def alone(self, texts: Sequence[str]) -> dict[str, float]:
        """Return the mean token log-likelihood of each text by itself."""
        ...


class CharTfidf:
    """Cosine of TF-IDF over character n-grams, fitted on the texts of the pairs."""

    name = "char_tfidf"

    def __init__(self, setting: Setting) -> None:
        self.identity = stage_key(self.name, 1, texts=setting.texts)
        self._vectorizer = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32
        )
        self._vectorizer.fit(setting.texts)

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the cosines; they take milliseconds and are not journaled."""
        left = self._vectorizer.transform([pair[0] for pair in pairs])
        right = self._vectorizer.transform([pair[1] for pair in pairs])
        cosines = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        return Opinions([float(value) for value in cosines], reused=0)


class FrozenEncoder:
    """Cosine of the backbone's own vectors, before any training."""

    name = "frozen_encoder"

    def __init__(self, setting: Setting) -> None:
        self._encoder = _cached_backbone(setting)
        self.identity = self._encoder.identity

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the cosines; vectors made while mining are reused."""
        return Opinions(_cosines(pairs, self._encoder.encode), reused=0)


class WhitenedEncoder:
    """Cosine of the backbone's vectors as the domain's texts spread them, after `whitening`."""

    name = "whitened_encoder"

    def __init__(self, setting: Setting) -> None:
        self._encoder = _cached_backbone(setting)
        self._texts = setting.texts
        self.identity = stage_key(self.name, 1, encoder=self._encoder.identity, texts=self._texts)

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the cosines; vectors made while mining are reused."""
        whitened = whitening(self._encoder.encode(self._texts, "encode texts"))
        encode = self._encoder.encode
        return Opinions(_cosines(pairs, lambda texts, label: whitened(encode(texts, label))), 0)


def _cached_backbone(setting: Setting) -> VectorCache:
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    encoder = load_backbone(EncoderSpec.of(setting.encoder), setting.home)
    return VectorCache(encoder, setting.home.journal)


def _cosines(pairs: Sequence[TextPair], encode: Callable[[list[str], str], Vectors]) -> list[float]:
    left, right = (encode([pair[side] for pair in pairs], "encode pairs") for side in (0, 1))
    return [float(value) for value in cosine(left, right)]


ANNOTATORS: Final[dict[str, Callable[[Setting], Annotator]]] = {
    "likelihood": Likelihood,
    "char_tfidf": CharTfidf,
    "frozen_encoder": FrozenEncoder,
    "whitened_encoder": WhitenedEncoder,
    "human": lambda setting: Human(setting.home),
}


def build(name: str, setting: Setting) -> Annotator:
    """Return the annotator called ``name``.

    Raises:
        ConfigError: when there is none; names those there are.
    """
    check((name,), setting.chat)
    if name in setting.chat:
        from pipeline.annotation.chat import ChatAnnotator  # noqa: PLC0415 - imports openai

        return ChatAnnotator(name, setting.chat[name], setting.terms)
    return ANNOTATORS[name](setting)


def check(names: Iterable[str], chat: Iterable[str]) -> None:
    """Refuse names of annotators that are neither embedded nor under ``chat``.

    Raises:
        ConfigError: names those there are.
    """
    there = [*ANNOTATORS, *chat]
    for name in names:
        if name not in there:
            message = f"label.annotators: there is no {name!r}; there are {', '.join(there)}"
            raise ConfigError(f"{message}, and what `chat` names")


def _scores(values: Mapping[str, bytes]) -> dict[str, float]:
    return {key: float(json.loads(value)) for key, value in values.items()}


def _bytes(values: Mapping[str, float]) -> dict[str, bytes]:
    return {key: json.dumps(value).encode() for key, value in values.items()}
