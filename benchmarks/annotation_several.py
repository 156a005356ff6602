"""What several pairs in one request save, and what they cost in agreement with gold."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from benchmarks._record import Figure, Measurement
from benchmarks._workload import DOMAIN
from pipeline import config as configuration
from pipeline import gold
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from pipeline.gold import GoldPair
from pipeline.sections import ChatSettings
from tests import llama_server

log = logging.getLogger(__name__)

CLAIM: Final = (
    "With several pairs in one request an answer costs a fraction of the tokens; what that does to "
    "the agreement with gold is known, with its interval, for the embedded chat model."
)
SEED: Final = 13
SIZES: Final = (1, 4)
QUICK_PAIRS: Final = 16
RESAMPLES: Final = 2_000


def measure(*, quick: bool) -> Measurement:
    """Score gold dev pairs in one order, alone and four at a time, at llama.cpp's server.

    The model has 135 million parameters and was not made to judge: what is seen here is the
    machinery and its price, and of quality only that of such a model.
    """
    pairs = [pair for pair in gold.load(configuration.load(DOMAIN)) if pair.split == "dev"]
    pairs = pairs[:QUICK_PAIRS] if quick else pairs
    figures, scores = [], []
    with llama_server.start() as url, tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            log.info("%d pairs, %d in a request", len(pairs), size)
            settings = ChatSettings(
                base_url=url, model="smollm2-135m-instruct", key="", orders=1, timeout=300,
                prompt="similarity-several.v1", pairs_per_request=size,
                concurrency=llama_server.PARALLEL,
            )  # fmt: skip
            annotator = ChatAnnotator("llama", settings, Terms(f"{folder}/requests.sqlite", "job"))
            said = annotator.annotate([(pair.sentence1, pair.sentence2) for pair in pairs])
            scores.append(np.array(said.scores))
            name, used = f"{size} in a request", said.measured["prompt_tokens"]
            figures += [
                Figure.of(f"{name}: tokens sent for a pair", used / len(pairs), ""),
                Figure.of(f"{name}: pairs without a score", _missing(said.scores), ""),
                Figure.of(f"{name}: Spearman's rho with gold", _rho(scores[-1], pairs), "", ">="),
            ]
    return Measurement((*figures, *_difference(scores[0], scores[1], pairs)), SEED)


def _missing(scores: Sequence[float]) -> int:
    return sum(math.isnan(score) for score in scores)


def _rho(scores: np.ndarray, pairs: Sequence[GoldPair]) -> float:
    known = ~np.isnan(scores)
    return float(spearmanr(scores[known], np.array([pair.score for pair in pairs])[known])[0])


def _difference(one: np.ndarray, several: np.ndarray, pairs: Sequence[GoldPair]) -> list[Figure]:
    """Return the difference in ρ on pairs that both scored, with a bootstrap's 95 % interval."""
    both = np.flatnonzero(~(np.isnan(one) | np.isnan(several)))
    truth = np.array([pair.score for pair in pairs])
    draw = np.random.default_rng(SEED)

    def gain(rows: np.ndarray) -> float:
        each = (spearmanr(scores[rows], truth[rows])[0] for scores in (several, one))
        return float(next(each) - next(each))

    found = [gain(draw.choice(both, len(both))) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(found, (0.025, 0.975))
    return [
        Figure.of("rho, four at a time against alone", gain(both), "", ">="),
        Figure.of("the same, 95 % from", float(low), "", ">="),
        Figure.of("the same, 95 % to", float(high), "", ">="),
    ]
