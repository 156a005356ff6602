"""MTEB on sets of one's own: its figures beside ours, and intents by a frozen encoder and TF-IDF.

The labelled sets (a folder each with items.parquet: text, label_name, split) lie in the folder that
``ANGLE_ADAPT_DATA`` names; without it they are left out. Their test splits are not touched: what is
learnt from is train, what is measured is dev, or half of each class where there is train alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from benchmarks._record import Figure, Measurement
from benchmarks._workload import DOMAIN
from pipeline import config as configuration
from pipeline import gold
from pipeline.encoder import Encoder, Vectors, cosine
from pipeline.evaluation import items, metrics, mteb_run
from pipeline.evaluation.items import ItemSet
from pipeline.evaluation.mteb_run import MtebScore, Request
from pipeline.evaluation.sets import PairSet, of_gold
from pipeline.records import digest_of
from pipeline.sections import EncoderSettings
from pipeline.settings import home

CLAIM: Final = (
    "Sets of one's own are measured by MTEB without a network, with the figures that our own "
    "measures give to 1e-6, and most of its time goes into encoding."
)
SEED: Final = 13
SETS: Final = ("banking77", "clinc150")
SPLITS: Final = ("train", "dev")
EXACT: Final = 1e-6
MOST: Final = 0.5
NGRAMS: Final = (3, 5)
FEATURES: Final = 4_096
QUICK_CLASSES: Final = 10
QUICK_ITEMS: Final = 20  # of a class and split
QUICK_PAIRS: Final = 100


class TfIdf:
    """Character n-grams, weighted by the texts that a set learns from, as an encoder."""

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - slow

        self._vectoriser = TfidfVectorizer(
            analyzer="char_wb", ngram_range=NGRAMS, sublinear_tf=True, max_features=FEATURES
        ).fit(texts)
        self.identity = f"tfidf-{digest_of(*texts)}"

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:  # noqa: ARG002
        """Return unit-length vectors, shape (texts, at most FEATURES)."""
        vectors: Vectors = self._vectoriser.transform(texts).toarray().astype(np.float32)
        return vectors


class System(NamedTuple):
    """An encoder and what to call it."""

    name: str
    encoder: Encoder


def measure(*, quick: bool) -> Measurement:
    """Measure the frozen built-in backbone; ``quick`` on a few pairs and a few classes."""
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    backbone = System("backbone", load_backbone(EncoderSpec.of(EncoderSettings()), home()))
    with tempfile.TemporaryDirectory() as folder:
        figures = _pairs(_gold(quick=quick), backbone, Path(folder))
        for given in _labelled(quick=quick):
            figures += _intents(given, backbone, Path(folder))
    return Measurement(tuple(figures), SEED)


def _gold(*, quick: bool) -> PairSet:
    config = configuration.load(DOMAIN)
    place = configuration.resolve(config.evaluate.gold)
    evaluate = config.evaluate.model_copy(update={"gold": str(place)})
    pairs = gold.load(config.model_copy(update={"evaluate": evaluate}))
    tested = [pair for pair in pairs if pair.split == "test"]
    return of_gold("gold", "domain", tested[:: len(tested) // QUICK_PAIRS] if quick else tested)


def _pairs(given: PairSet, system: System, folder: Path) -> list[Figure]:
    (found,) = mteb_run.run(Request(system.encoder, system.name, [given]), folder)
    left = system.encoder.encode([pair.sentence1 for pair in given.pairs])
    right = system.encoder.encode([pair.sentence2 for pair in given.pairs])
    scores = np.array([pair.score for pair in given.pairs])
    ours = metrics.spearman(scores, cosine(left, right))
    return [
        Figure.of("gold pairs: rho by MTEB", found.value, "", ">="),
        Figure.of("gold pairs: MTEB less ours", abs(found.value - ours), "", target=EXACT),
        _encoding("gold pairs", found),
    ]


def _labelled(*, quick: bool) -> Iterator[ItemSet]:
    data = os.environ.get("ANGLE_ADAPT_DATA", "")
    for name in SETS if data else ():
        table = pq.read_table(Path(data) / name / "items.parquet").to_pylist()
        rows = [(r["text"], r["label_name"], r["split"]) for r in table if r["split"] in SPLITS]
        yield items.of_rows(name, _few(rows) if quick else rows)


def _few(rows: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    classes = sorted({label for _, label, _ in rows}, key=digest_of)[:QUICK_CLASSES]
    taken: Counter[tuple[str, str]] = Counter()
    found = []
    for text, label, split in rows:
        taken[label, split] += 1
        if label in classes and taken[label, split] <= QUICK_ITEMS:
            found.append((text, label, split))
    return found


def _intents(given: ItemSet, backbone: System, folder: Path) -> list[Figure]:
    figures, scores = [], {}
    for system in (backbone, System("TF-IDF", TfIdf([item.text for item in given.train]))):
        for score in mteb_run.run(Request(system.encoder, system.name, [given]), folder):
            title = f"{given.name}, {score.kind.lower()}"
            scores[title, system.name] = score
            figures.append(Figure.of(f"{title}: {system.name}", score.value, "", ">="))
            if system is backbone:
                figures.append(_encoding(title, score))
    for title in {title: None for title, _ in scores}:
        gained = scores[title, "backbone"].value - scores[title, "TF-IDF"].value
        figures.append(Figure.of(f"{title}: backbone less TF-IDF", gained, "", ">="))
    return figures


def _encoding(title: str, score: MtebScore) -> Figure:
    """Return the share of MTEB's time that went into encoding, by its own record."""
    phases = json.loads(score.file.read_text(encoding="utf-8"))["evaluation_phases"]
    encoding = sum(p["end"] - p["start"] for p in phases if p["name"].startswith("Encoding"))
    share = encoding / score.seconds
    return Figure.of(f"{title}: time in encoding", share, "", ">=", target=MOST)
