"""The texts and pairs that training and encoding are measured on: real ones, of the default domain.

They come from the stages of the pipeline up to mining, which are kept in the data folder like those
of any run, and are written as JSONL for libraries that know nothing of this project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline import config as configuration
from pipeline import graph
from pipeline.artifacts import Reference, Store
from pipeline.config import CHECKOUT
from pipeline.disk import write_atomically
from pipeline.encoder import backbone
from pipeline.errors import ResourceError
from pipeline.records import Pair
from pipeline.sections import EncoderSettings
from pipeline.settings import Home

DOMAIN: Final = CHECKOUT / "data" / "domains" / "python-stdlib.yaml"
TEMPLATE: Final = 'Summarize sentence "{text}" in one word:"'
# 25 documents for 20 pairs, as in the default domain; five thousand texts are 2,500 pairs.
FEW: Final = ("mine.pairs=60", "mine.texts=75")
MANY: Final = ("mine.pairs=2500", "mine.texts=3125")


def weights(home: Home) -> str:
    """Return the folder of the default backbone, which all libraries load."""
    return backbone.folder(EncoderSettings().backbone, home)


def write_pairs(path: Path, number: int, home: Home, *, quick: bool) -> None:
    """Write the first ``number`` mined pairs of the default domain, by id, with graded labels.

    Ids are digests, so these pairs are a fair mix of the mining strategies, with the lengths and
    the repeated texts that mining gives. What a label says does not change what training costs, so
    it is the rank of the overlap of the two texts: evenly spread over [0, 1], a tenth positive.
    """
    pairs = _mined(FEW if quick else (), number, home)
    order = sorted(pairs, key=lambda pair: (overlap(pair.sentence1, pair.sentence2), pair.id))
    scores = {pair.id: rank / (len(pairs) - 1) for rank, pair in enumerate(order)}
    rows = [
        {"sentence1": pair.sentence1, "sentence2": pair.sentence2, "score": scores[pair.id]}
        for pair in pairs
    ]
    _write(path, rows)


def write_texts(path: Path, number: int, home: Home, *, quick: bool) -> None:
    """Write ``number`` texts of the default domain: both sides of mined pairs, by the pair's id.

    A text that is in several pairs comes several times, as often as mining repeats it; mining more
    pairs than the domain asks for draws on as many more documents, so that the share of repeats
    stays what it is in a run.
    """
    pairs = _mined(FEW if quick else MANY, number // 2, home)
    texts = [text for pair in pairs for text in (pair.sentence1, pair.sentence2)]
    _write(path, [{"text": text} for text in texts])


def overlap(one: str, other: str) -> float:
    """Return the Dice coefficient of the two texts' sets of three letters in a row, in [0, 1]."""
    left, right = ({text[i : i + 3] for i in range(len(text) - 2)} for text in (one, other))
    return 2 * len(left & right) / max(1, len(left) + len(right))


def _mined(changes: Sequence[str], number: int, home: Home) -> list[Pair]:
    """Return ``number`` pairs of the default domain with ``changes``, lowest ids first."""
    config = configuration.load(DOMAIN, changes)
    gold = configuration.resolve(config.evaluate.gold)
    evaluate = config.evaluate.model_copy(update={"gold": str(gold)})
    config = config.model_copy(update={"evaluate": evaluate})
    store = Store(home)
    found: dict[str, Reference] = {}
    for name in ("collect", "clean", "mine"):
        outcome = graph.materialise(graph.STAGES[name], found, config, store)
        found[name] = outcome.entry.reference
    pairs = store.rows(found["mine"], Pair)
    if len(pairs) < number:
        message = f"the default domain gives {len(pairs)} pairs, the measurement needs {number}"
        raise ResourceError(message)
    return sorted(pairs, key=lambda pair: pair.id)[:number]


def _write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
