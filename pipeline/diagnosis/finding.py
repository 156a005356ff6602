"""What a check found: a state, figures, and what to do about a problem."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.encoder import Vectors, cosine
from pipeline.records import Record

State = Literal["ok", "problem", "not checked"]


class Finding(Record):
    """The outcome of one check; ``remedy`` is empty unless there is a problem."""

    check: str = ""
    state: State
    detail: str
    figures: dict[str, float] = Field(default_factory=dict)
    remedy: str = ""


def sound(detail: str, **figures: float) -> Finding:
    """Return the finding that all is well."""
    return Finding(state="ok", detail=detail, figures=figures)


def problem(detail: str, remedy: str, **figures: float) -> Finding:
    """Return the finding that something is wrong, and what to do."""
    return Finding(state="problem", detail=detail, figures=figures, remedy=remedy)


def unknown(detail: str) -> Finding:
    """Return the finding that there is nothing to check, or no way to."""
    return Finding(state="not checked", detail=detail)


class Closeness(Record):
    """How near two arrays of vectors, (texts, dimensions), are: the worst row, the worst number."""

    cosine: float
    difference: float

    @classmethod
    def of(cls, one: Vectors, other: Vectors) -> Closeness:
        """Measure it; arrays of unlike shape, or that are not finite, are as far as can be."""
        if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
            return cls(cosine=-1.0, difference=2.0)
        difference = float(np.abs(one - other).max())
        return cls(cosine=float(cosine(one, other).min()), difference=difference)

    def __str__(self) -> str:
        """Return both figures as they are printed."""
        return f"cosine {self.cosine:.6f}, difference {self.difference:.1e}"
