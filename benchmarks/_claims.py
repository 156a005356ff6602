"""Every benchmark by its name, which is that of its file."""

from __future__ import annotations

from typing import Final

from benchmarks import spine_default_run
from benchmarks._record import Benchmark

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "spine_default_run": Benchmark(spine_default_run.CLAIM, spine_default_run.measure),
}
