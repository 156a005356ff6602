"""Vectors of a few fixed texts, left in a model directory by whoever wrote its adapter.

A program that loads the model can hold its own vectors against them: a wrong pooling or template,
other weights, or another version of a library shows at once. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.disk import file_digest
from pipeline.encoder import Vectors
from pipeline.errors import ArtifactError
from pipeline.records import Record

PROBE_FILE: Final = "probe.safetensors"
_WEIGHTS: Final = "adapter_model.safetensors"

# Unlike each other in length, script and form; the last is longer than any text that is kept whole.
TEXTS: Final[tuple[str, ...]] = (
    "Return the number of items in a list.",
    "The ferry was late because of the fog, and nobody on the pier knew when it would come.",
    "Who wrote this letter?",
    "two words",
    "Öl und Käse: 3,50 €, sonst nichts.",
    "def area(radius): return 3.14159 * radius ** 2",
    "WARNING! Do not open while the wheels (all four of them) are turning...",
    "雨が止んだら出かけよう。",
    # Without punctuation, which might become one token with what follows where a text is cut.
    " ".join(f"then line {line} of the list says {line * line}" for line in range(1, 161)),
)


class Probe(Record):
    """What was recorded beside the vectors."""

    texts: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]  # ids of each text in its template, as it was run
    adapter: str  # SHA-256 of the adapter's weights, "" without an adapter
    dtype: str  # precision in which the vectors were made, such as "torch.bfloat16"
    quantization: str = "none"  # of the frozen weights while they were made


def write(
    folder: Path,
    vectors: Vectors,
    tokens: Sequence[Sequence[int]],
    dtype: str,
    quantization: str = "none",
) -> None:
    """Leave in a model directory the unit-length ``vectors`` of ``TEXTS``, (texts, dimensions)."""
    weights = folder / _WEIGHTS
    found = Probe(
        texts=TEXTS,
        tokens=tuple(map(tuple, tokens)),
        adapter=file_digest(weights) if weights.is_file() else "",
        dtype=dtype,
        quantization=quantization,
    )
    tensors = {"vectors": np.ascontiguousarray(vectors, dtype=np.float32)}
    save_file(tensors, folder / PROBE_FILE, {"probe": found.model_dump_json()})


def read(folder: Path) -> tuple[Probe, Vectors] | None:
    """Return what was recorded in a model directory, and the vectors; None when nothing was.

    Raises:
        ArtifactError: when it cannot be read.
    """
    path = folder / PROBE_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as saved:
            found = Probe.model_validate(json.loads(saved.metadata()["probe"]))
            vectors: Vectors = saved.get_tensor("vectors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        message = f"{path} is damaged: copy the model folder again, or delete this file"
        raise ArtifactError(message) from error
    return found, vectors
