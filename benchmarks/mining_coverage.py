"""What the even sampler covers, against fixed shares: expected labels, gold labels, what stays.

Gold labels measure here; no pair is chosen by them. The sets with labels of their own (a folder
each with items.parquet: text, label_name, split) lie in the folder that ``ANGLE_ADAPT_DATA`` names;
without it they are left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks._record import Figure, Measurement
from benchmarks._workload import DOMAIN
from pipeline import config as configuration
from pipeline import gold, graph
from pipeline.artifacts import Reference, Store
from pipeline.encoder import Encoder
from pipeline.encoder.cache import VectorCache
from pipeline.mining import texts as mining_texts
from pipeline.mining.coverage import BATCH, comparisons
from pipeline.mining.likeness import Scale
from pipeline.mining.stage import Mined, mine
from pipeline.records import Document, digest_of, text_id
from pipeline.sections import EncoderSettings, MineSettings
from pipeline.settings import home

CLAIM: Final = (
    "With the even sampler, mined pairs cover the range of labels more evenly than with fixed "
    "shares, and most stay when a hundredth more documents come."
)
SEED: Final = 13
SETS: Final = ("clinc150", "banking77")
SHARES: Final = {"same_document": 0.3, "dense": 0.25, "lexical": 0.25, "random": 0.2}
BETWEEN: Final = ("dense", "lexical", "random")  # two texts of one item have no label
GRADES: Final = 5
TURNS: Final = 5  # draws of documents that were not there before


def measure(*, quick: bool) -> Measurement:
    """Mine with both samplers; ``quick`` from a fifth of the texts, and the default domain only."""
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    encoder = VectorCache(load_backbone(EncoderSpec.of(EncoderSettings()), home()), home().journal)
    even = MineSettings(texts=200, pairs=160) if quick else MineSettings()
    both = {"even": even, "shares": even.model_copy(update={"sampler": "shares", "shares": SHARES})}
    figures = _default(both, encoder)
    data = os.environ.get("ANGLE_ADAPT_DATA", "")
    for name in () if quick or not data else SETS:
        figures += _labelled(name, Path(data) / name / "items.parquet", both, encoder)
    return Measurement(tuple(figures), SEED)


def _default(both: dict[str, MineSettings], encoder: Encoder) -> list[Figure]:
    documents, pairs = _domain()
    chosen = sorted(documents, key=lambda d: digest_of(str(SEED), "document", d.id))
    chosen = chosen[: both["even"].texts]
    found = {name: mine(chosen, settings, encoder) for name, settings in both.items()}
    figures = _compared("expected labels", {n: m.coverage["pairs"] for n, m in found.items()})
    even = found["even"].coverage["pairs"]
    figures.append(Figure.of("even: fewest of a tenth, of most", min(even) / max(even), "", ">="))
    scale = Scale(mining_texts.of(chosen, both["even"], encoder))
    sides = [[pair.sentence1 for pair in pairs], [pair.sentence2 for pair in pairs]]
    expected = _expected(scale, *sides)
    scores = np.array([pair.score for pair in pairs])
    figures.append(
        Figure.of("expected labels: rho with gold dev", _rho(expected, scores), "", ">=")
    )
    graded = {n: _by_gold(scale, mined, expected, scores) for n, mined in found.items()}
    figures += _compared("gold grades, by regression on gold dev", graded)
    for name, settings in both.items():
        kept = _kept(chosen, settings, encoder)
        figures.append(Figure.of(f"{name}: pairs kept, 1 % more documents", kept, "", ">="))
    return figures


def _domain() -> tuple[list[Document], list[gold.GoldPair]]:
    """Return the train documents of the default domain, and its gold dev pairs by its own texts."""
    config = configuration.load(DOMAIN)
    place = configuration.resolve(config.evaluate.gold)
    evaluate = config.evaluate.model_copy(update={"gold": str(place)})
    config, store = config.model_copy(update={"evaluate": evaluate}), Store(home())
    found: dict[str, Reference] = {}
    for name in ("collect", "clean"):
        outcome = graph.materialise(graph.STAGES[name], found, config, store)
        found[name] = outcome.entry.reference
    documents = [d for d in store.rows(found["clean"], Document) if d.split == "train"]
    return documents, [pair for pair in gold.load(config) if pair.split == "dev"]


def _expected(scale: Scale, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float32]:
    places = np.arange(2 * len(first), dtype=np.int32)
    return scale.of([*first, *second], places[: len(first)], places[len(first) :]).expected


def _by_gold(
    scale: Scale, mined: Mined, expected: NDArray[np.float32], scores: NDArray[np.float64]
) -> list[int]:
    """Return the mined pairs by the gold grade of pairs like them, by isotonic regression."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - slow to import

    graded = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(expected, scores)
    sides = [[p.sentence1 for p in mined.pairs], [p.sentence2 for p in mined.pairs]]
    found = graded.predict(_expected(scale, *sides))
    grades: list[int] = np.histogram(found, GRADES, (0, 1))[0].tolist()
    return grades


def _labelled(
    name: str, path: Path, both: dict[str, MineSettings], encoder: Encoder
) -> list[Figure]:
    """Mine texts whose labels say of any two whether they ask for the same."""
    items = pq.read_table(path).to_pylist()
    labels = {text_id(i["text"]): i["label_name"] for i in items if i["split"] == "train"}
    rows = {text_id(item["text"]): item["text"] for item in items if item["split"] == "train"}
    chosen = sorted(rows, key=lambda one: digest_of(str(SEED), "document", one))[:1_000]
    documents = [Document(id=one, text=rows[one], name=one, source=name) for one in chosen]
    counts = {}
    for sampler, settings in both.items():
        kept = {n: share for n, share in settings.shares.items() if n in BETWEEN}
        pairs = mine(documents, settings.model_copy(update={"shares": kept}), encoder).pairs
        same = sum(labels[pair.document1] == labels[pair.document2] for pair in pairs)
        counts[sampler] = [len(pairs) - same, same]
    return _compared(f"{name}, gold", counts)


def _compared(what: str, counts: dict[str, list[int]]) -> list[Figure]:
    found = {name: comparisons(part, BATCH) for name, part in counts.items()}
    of = f"{what}: ordered comparisons in a batch of {BATCH}"
    return [
        Figure.of(f"{of}, even", found["even"], "of 496", ">=", found["shares"]),
        Figure.of(f"{of}, shares", found["shares"], "of 496", ">="),
        *(
            Figure.of(f"{what}: pairs from {n / len(part):.1f} up, {name}", count, "")
            for name, part in counts.items()
            for n, count in enumerate(part)
        ),
    ]


def _kept(documents: Sequence[Document], settings: MineSettings, encoder: Encoder) -> float:
    """Return the share of pairs that are mined again with a hundredth more documents."""
    draw = np.random.default_rng(SEED)
    after = {pair.id for pair in mine(documents, settings, encoder).pairs}
    shares = []
    for _ in range(TURNS):
        new = {*draw.choice(len(documents), max(1, len(documents) // 101), replace=False).tolist()}
        rest = [document for index, document in enumerate(documents) if index not in new]
        before = {pair.id for pair in mine(rest, settings, encoder).pairs}
        shares.append(len(before & after) / len(before))
    return float(np.mean(shares))


def _rho(one: NDArray[np.float32], other: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr  # noqa: PLC0415 - slow to import

    return float(spearmanr(one, other).statistic)
