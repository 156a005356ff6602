"""Texts to vectors. The protocol needs no torch; `pipeline.encoder.transformer` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def identity(self) -> str:
        """Name of everything that decides the vectors; equal identity means equal vectors."""
        ...

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions); ``label`` is for progress."""
        ...


def cosine(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each row of ``left`` with the same row of ``right``, in [-1, 1]."""
    products = np.einsum("ij,ij->i", left.astype(np.float64), right.astype(np.float64))
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float64] = products / np.maximum(norms, 1e-12)
    return cosines
