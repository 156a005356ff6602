"""Documents of random words, near-duplicates planted among them, and a process's peak memory."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from pipeline.records import Document, text_id

WORDS: Final = 100  # of a document
_SYLLABLES: Final = ["".join(pair) for pair in product("bdfklmnprst", "aeiou")]
VOCABULARY: Final = ["".join(three) for three in product(_SYLLABLES, repeat=3)]  # 166,375 words
BLOCK: Final = 1_000  # documents drawn at once
# Words replaced in a row: of 98 word 3-grams two more than these change. Jaccard is
# (98 - changed) / (98 + changed): 0.815 after 8 words, the last that is still 0.8, 0.798 after 9.
PLANTED: Final = (6, 7, 8)
DECOYS: Final = (9, 10, 11, 12)
STEP: Final = 20  # every so many documents a near-duplicate, and a decoy, of the one before

T = TypeVar("T")


def documents(count: int, seed: int, length: int = WORDS) -> Iterator[Document]:
    """Yield ``count`` documents; the name says of which other one it is a copy.

    Names are "N", "N planted" (its overlap with document N is at least 0.8) and "N decoy" (less).
    """
    generator = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        rows = generator.integers(len(VOCABULARY), size=(min(BLOCK, count - start), length))
        for place in range(STEP - 1, len(rows), STEP):
            name = "planted" if place // STEP % 2 else "decoy"
            changed = int(generator.choice(PLANTED if name == "planted" else DECOYS))
            at = int(generator.integers(2, length - changed - 2))
            new = rows[place, at : at + changed].copy()
            rows[place] = rows[place - 1]
            rows[place, at : at + changed] = new
        for place, row in enumerate(rows):
            number = start + place
            copy = place % STEP == STEP - 1
            kind = ("planted" if place // STEP % 2 else "decoy") if copy else ""
            name = f"{number - 1:08} {kind}" if copy else f"{number:08}"
            text = " ".join([VOCABULARY[word] for word in row.tolist()])
            yield Document(id=text_id(text), text=text, name=name, source="synthetic")


def apart(function: Callable[..., T], *given: object) -> tuple[T, int]:
    """Return what ``function`` returns in a process of its own, and that process's peak memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peaked, function, *given).result()


def _peaked(function: Callable[..., T], *given: object) -> tuple[T, int]:
    return function(*given), _peak()


def _peak() -> int:
    """Return the most bytes of memory that this process had."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [s for s in status.read_text().splitlines() if s.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
