"""An encoder for tests that needs no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoder import Vectors
from pipeline.records import digest_of, normalised


class HashingEncoder:
    """Vectors of word counts, hashed: near where words are shared, and fast."""

    identity = "hashing"

    def encode(self, texts: Sequence[str], label: str = "") -> Vectors:  # noqa: ARG002
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in normalised(text).split():
                row[int(digest_of(word), 16) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
