"""Where the time of an evaluation goes: the STS sets under the default backbone, twice encoded.

STS12 to STS16 and STS-B, each a folder with pairs.parquet (text1, text2, label, split), lie in the
folder that ``ANGLE_ADAPT_DATA`` names; without it the pairs that come with the project are taken. ρ
of a year is over all its pairs together, as SentEval's "all".
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks._record import Figure, Measurement
from pipeline import gold
from pipeline.config import CHECKOUT
from pipeline.encoder import Encoder, Vectors
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.evaluation import sets
from pipeline.evaluation.measure import Models
from pipeline.evaluation.measure import measure as evaluate
from pipeline.evaluation.sets import EvaluationSet
from pipeline.sections import EncoderSettings, EvaluateSettings, SetSettings
from pipeline.settings import home

CLAIM: Final = (
    "An evaluation on the STS sets spends at least 95 % of its time in encoding: figures, "
    "intervals, p-values and references cost the rest."
)
YEARS: Final = ("sts12", "sts13", "sts14", "sts15", "sts16", "stsb")
QUICK: Final = 400  # pairs in all
SHARE: Final = 95.0
SEED: Final = 13


class _Timed:
    """An encoder that counts the seconds it takes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.seconds = encoder, 0.0

    @property
    def identity(self) -> str:
        return self._encoder.identity

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        start = time.perf_counter()
        found = self._encoder.encode(texts, label)
        self.seconds += time.perf_counter() - start
        return found


def measure(*, quick: bool) -> Measurement:
    """Evaluate the backbone against itself; both sides are encoded, as in any evaluation."""
    given = _sets(quick=quick)
    encoder = load_backbone(EncoderSpec.of(EncoderSettings()), home())
    base, adapted = _Timed(encoder), _Timed(encoder)
    start = time.perf_counter()
    found = evaluate(Models(base, adapted, {}), given, EvaluateSettings(seed=SEED))
    whole = time.perf_counter() - start
    share = 100 * (base.seconds + adapted.seconds) / whole
    figures = [
        Figure.of("sets", len(given), ""),
        Figure.of("pairs", sum(row["items"] for row in found.summary["sets"]), ""),
        Figure.of("whole evaluation", whole, "s"),
        Figure.of("in encoding", share, "%", ">=", None if quick else SHARE),
        *(Figure.of(f"{row['name']}: Spearman's ρ, frozen", row["found"]["base"], "", ">=")
          for row in found.summary["sets"]),
    ]  # fmt: skip
    return Measurement(tuple(figures), SEED)


def _sets(*, quick: bool) -> list[EvaluationSet]:
    data = os.environ.get("ANGLE_ADAPT_DATA", "")
    if quick or not data:
        pairs = gold.read(CHECKOUT / "data/general/gold_pairs.csv", 5.0)
        return [sets.of_gold("general", "domain", pairs[:QUICK] if quick else pairs)]
    return [
        sets.load(
            name,
            SetSettings(path=str(Path(data) / name / "pairs.parquet"), split="test", kind="graded"),
        )
        for name in YEARS
    ]
