"""Vectors kept across stages and runs: a text is encoded once by an encoder, then looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.encoder import Encoder, Vectors
from pipeline.journal import Journal
from pipeline.progress import Progress

_CHUNK: Final = 128  # texts encoded before they are committed


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class VectorCache:
    """An encoder that remembers, in the journal folder, what it has encoded."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        self._encoder, self._path = encoder, folder / "vectors.sqlite"

    @property
    def identity(self) -> str:
        """The identity of the encoder behind the cache."""
        return self._encoder.identity

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions); only new texts are encoded."""
        keys = {text: _key(text) for text in dict.fromkeys(texts)}
        with closing(Journal(self._path)) as journal:
            known = journal.read(self.identity, list(keys.values()))
            missing = sorted((text for text in keys if keys[text] not in known), key=len)
            with Progress(label, len(missing), "text") as progress:
                for start in range(0, len(missing), _CHUNK):
                    chunk = missing[start : start + _CHUNK]
                    rows = zip(chunk, self._encoder.encode(chunk, label=""), strict=True)
                    new = {keys[text]: row.tobytes() for text, row in rows}
                    journal.write(self.identity, new)
                    known |= new
                    progress.advance(len(chunk))
        vectors = [np.frombuffer(known[keys[text]], dtype=np.float32) for text in texts]
        return np.stack(vectors) if vectors else np.zeros((0, 0), dtype=np.float32)
