"""Summaries of the evaluate stage, by its own functions over vectors that are made up."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.encoder import Vectors
from pipeline.evaluation import strength
from pipeline.evaluation.measure import Measurement, Models, measure
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet, SetPair
from pipeline.sections import EvaluateSettings

PAIRS: Final = {"gold": 420, "duplicates": 160, "general": 180}
QUERIES: Final = 200
SOURCES: Final = ("an-owner/a_repository_with_a_long_name", "docs.example", "wiki.example",
                  "docs.example")  # fmt: skip
STRATEGIES: Final = {"same_document": 60, "random": 60, "title_body": 12}
SETTINGS: Final = EvaluateSettings(resamples=500)
WIDTH: Final = 24


class KnownEncoder:
    """Gives every text the vector that was made up for it."""

    def __init__(self, identity: str, vectors: Mapping[str, Vectors]) -> None:
        self.identity, self.vectors = identity, vectors

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        assert label
        return np.stack([self.vectors[text] for text in texts]).astype(np.float32)


def unit(values: Floats) -> Floats:
    found: Floats = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return found


def with_cosines(cosines: Floats, narrow: float, generator: np.random.Generator) -> Floats:
    """Return pairs of unit vectors with these cosines, (2, pairs, width), in a cone."""
    around = generator.normal(size=(2, len(cosines), WIDTH))
    around[0, :, 0] += narrow
    left = unit(around[0])
    across = around[1] - (around[1] * left).sum(1, keepdims=True) * left
    right = cosines[:, None] * left + np.sqrt(1 - cosines**2)[:, None] * unit(across)
    return np.stack([left, right])


def pair_sets(texts: Sequence[str], *, gold: bool) -> list[PairSet]:
    """Return a gold set with two kinds of pairs, a binary set, and a general one."""
    generator = np.random.default_rng(7)
    made = []
    for name, count in PAIRS.items():
        scores = generator.integers(0, 11, count) / 10
        if name == "duplicates":
            scores = np.round(scores)
        pairs = tuple(
            SetPair(
                f"{texts[n % len(texts)]} ({name} {n})",
                f"{texts[(n * 3 + 1 + n // 20) % len(texts)]} ({name} {n}, other)",
                float(scores[n]),
                ("same_function" if scores[n] > 0.7 else "same_topic") if name == "gold" else "",
            )
            for n in range(count)
        )
        role, kind = ("general" if name == "general" else "domain"), "graded"
        made.append(PairSet(name, role, "binary" if name == "duplicates" else kind, pairs))  # type: ignore[arg-type]
    return made if gold else made[2:]


def search_set(texts: Sequence[str]) -> SearchSet:
    queries = tuple(f"Which one says: {texts[n % len(texts)][:30]} ({n})" for n in range(QUERIES))
    corpus = tuple(f"{texts[n % len(texts)]} [{n}]" for n in range(2 * QUERIES))
    sources = tuple(SOURCES[n % 4] if n > 11 else "forum.example" for n in range(QUERIES))
    return SearchSet("held-out text", "domain", queries, corpus,
                     tuple({n: 1} for n in range(QUERIES)), groups=sources)  # fmt: skip


def labelled(texts: Sequence[str]) -> PairSet:
    """Return labelled pairs of three strategies, the last with too few for a figure."""
    generator = np.random.default_rng(11)
    names = [name for name, count in STRATEGIES.items() for _ in range(count)]
    return PairSet("labelled pairs", "domain", "graded", tuple(
        SetPair(f"{texts[n % len(texts)]} (mined {n})", f"{texts[n * 5 % len(texts)]} (with {n})",
                float(generator.integers(0, 11) / 10), name)
        for n, name in enumerate(names)
    ))  # fmt: skip


def encoder(identity: str, sets: Iterable[EvaluationSet], gain: float) -> KnownEncoder:
    """Return a model; with more ``gain`` its cosines follow the scores closer and spread wider."""
    generator = np.random.default_rng(len(identity))
    vectors: dict[str, Vectors] = {}
    for one in sets:
        if isinstance(one, PairSet):
            own = 0.3 * gain if one.role == "general" else gain
            wanted = np.array([pair.score for pair in one.pairs])
            noise = generator.normal(size=len(wanted)) * (0.55 - 0.2 * own)
            cosines = np.clip(0.5 + 0.5 * (wanted - 0.5) + 0.4 * noise, -0.2, 1.2)
            base = 0.9 + 0.09 * cosines
            cosines = np.clip(base if gain == 0 else 0.1 + 0.75 * cosines, -0.99, 0.999)
            for side, found in zip(one.sides, with_cosines(cosines, 4 - 3 * gain, generator),
                                   strict=True):  # fmt: skip
                vectors |= dict(zip(side, found.astype(np.float32), strict=True))
        else:
            corpus = unit(generator.normal(size=(len(one.corpus), WIDTH)))
            near = corpus[: len(one.queries)]
            queries = unit(near + generator.normal(size=near.shape) * (0.34 - 0.05 * gain))
            vectors |= dict(zip(one.corpus, corpus.astype(np.float32), strict=True))
            vectors |= dict(zip(one.queries, queries.astype(np.float32), strict=True))
    return KnownEncoder(identity, vectors)


def sweep() -> dict[str, Any]:
    """Return a choice of strength in which general pairs suffer from too much of it."""
    generator = np.random.default_rng(3)
    gold = {"domain": generator.random(220), "general": generator.random(180)}
    noise = {name: generator.normal(size=len(values)) for name, values in gold.items()}
    cosines = {
        s: {"domain": gold["domain"] + noise["domain"] * (0.4 - 0.12 * np.sin(1.6 * s)),
            "general": gold["general"] + noise["general"] * (0.24 + 0.05 * max(0, s - 0.4) ** 2)}
        for s in strength.STRENGTHS
    }  # fmt: skip
    options = strength.Options(bootstrap=Bootstrap(200, 0.95, 13))
    empty: dict[str, list[Any]] = {name: [None] * len(values) for name, values in gold.items()}
    return strength.choose(gold, cosines, empty, options).model_dump()


@functools.cache
def measurement(texts: tuple[str, ...], *, gold: bool) -> Measurement:
    """Return what the evaluate stage writes; without gold a search decides."""
    sets: list[EvaluationSet] = list(pair_sets(texts, gold=gold))
    sets.insert(len(sets) - 1, search_set(texts))
    mined = labelled(texts)
    base, adapted = (
        encoder(name, [*sets, mined], gain)
        for name, gain in (("base", 0.0), ("adapted", 1.0 if gold else 0.3))
    )
    others = {"models/shipped": encoder("shipped", [*sets, mined], 0.5)} if gold else {}
    settings = SETTINGS.model_copy(update={"threshold": 0.96} if gold else {})
    found = measure(Models(base, adapted, others), sets, settings, mined)
    found.summary.update({
        "strength": sweep() if gold else {},
        "retrieval": {"texts": 2 * QUERIES, "queries": QUERIES, "distractors": QUERIES},
        "leakage": {
            "trained_texts": 1_127, "measured_texts": 2_598, "allowed": False, "examples": [],
            "found": {"document": 0, "exact": 0, "near_duplicate": 0, "embedding": 0},
        },
    })  # fmt: skip
    return found
