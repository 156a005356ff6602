"""Vectors of a domain's texts, rid of what all of these texts have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.encoder import Vectors

# Of the covariance, towards a multiple of the identity; chosen on dev pairs (docs/decisions/0021).
SHRINKAGE: Final = 0.9

_NOTHING: Final = 1e-9  # a sum of squares of unit vectors that is rounding alone


def whitening(vectors: Vectors) -> Callable[[Vectors], Vectors]:
    """Return the map that centres and whitens like ``vectors``, of shape (texts, dimensions).

    Vectors of one domain lie in a narrow cone: most of a cosine tells that two texts are of the
    domain, and little how alike they are (Ethayarajh, arXiv 1909.00512). The map takes off their
    mean and divides by the square root of their covariance (Su et al., arXiv 2103.15316), shrunk by
    ``SHRINKAGE`` towards a sphere of the same total variance (Ledoit and Wolf, 2004): with a few
    hundred texts the small variances are noise, and whitening by them makes noise large.

    Mapped vectors, shape (texts, dimensions) in float32, have length one, or about zero where a
    vector is the mean.
    """
    from sklearn.covariance import shrunk_covariance  # noqa: PLC0415 - slow to import

    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    spread = shrunk_covariance(centred.T @ centred / len(vectors), SHRINKAGE)
    if not np.trace(spread) > _NOTHING:  # one text, or copies of one
        spread = np.eye(len(mean))
    root = np.linalg.inv(np.linalg.cholesky(spread)).T  # any will do: cosines are the same

    def whitened(given: Vectors) -> Vectors:
        mapped = (given - mean) @ root
        lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
        unit: Vectors = (mapped / np.where(lengths > _NOTHING, lengths, 1)).astype(np.float32)
        return unit

    return whitened
