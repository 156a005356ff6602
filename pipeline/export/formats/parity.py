"""How equal an export's vectors are to the model's own, measured on a few telling texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.encoder import Vectors, cosine
from pipeline.errors import InputError
from pipeline.export.formats.source import Source

SHORT: Final = (
    "",
    " ",
    "a",
    "Return the size of a file in bytes.",
    'She said: "Sort it!"',
    "open('data.csv', newline='')  # 12,345 rows",
    "Öffne die Datei, lies sie – und schließe sie.",
    "文件的大小是多少 🙂",
    "Two lines,\n\tthe second one indented.\n",
    "What is the difference between a list and a tuple in Python?",
)
# Repeated until no model takes them whole; they end in many ways where they are cut.
_LONG: Final = (
    "Sort the list of numbers and return it. ",
    "word ",
    "read(); write('x', 2), close() ... ",
    "ein 'Satz', \"noch einer\" – und 3.14! ",
    "a_b_c=1,d[2]={3}; ",
)
_CUTS: Final = 6  # lengths for each of them


def texts_for(source: Source) -> list[str]:
    """Return short texts, and long ones that are cut in many places."""
    limit = source.spec.max_length
    long = [
        "x" * shift + " " + part * (1 + 2 * limit // max(1, len(part) // 6))
        for part in _LONG
        for shift in range(_CUTS)
    ]
    return [*SHORT, *(text[: 8 * limit + 200] for text in long)]


def measure(
    own: Vectors, exported: Vectors, texts: Sequence[str], bound: float | None
) -> dict[str, Any]:
    """Return how equal two sets of vectors are, (texts, dimensions) each.

    Raises:
        InputError: when they have different shapes, or a value is no number.
    """
    if own.shape != exported.shape:
        message = f"the export makes vectors of shape {exported.shape}, the model {own.shape}"
        raise InputError(message)
    cosines = cosine(own, exported)
    if not np.isfinite(exported).all():
        message = "the export makes vectors that are no numbers"
        raise InputError(message)
    worst = int(cosines.argmin())
    return {
        "texts": len(texts),
        "lowest": float(cosines.min()),
        "mean": float(cosines.mean()),
        "bound": bound,
        "lowest_text": texts[worst][:80],
        "reference": "the model's vectors in float32",
    }


def check(figures: Mapping[str, Any], what: str) -> None:
    """Refuse an export that is not the model.

    Raises:
        InputError: with the figures.
    """
    bound, lowest = figures["bound"], figures["lowest"]
    if bound is not None and lowest < bound:
        message = (
            f"{what} is not equal to the model: the lowest cosine of {figures['texts']} texts is "
            f"{lowest:.5f}, and {bound} is asked for (at {figures['lowest_text']!r}); nothing was "
            "written. Another precision or format may do"
        )
        raise InputError(message)
