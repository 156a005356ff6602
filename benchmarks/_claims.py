"""Every benchmark by its name, which is that of its file."""

from __future__ import annotations

from typing import Final

from benchmarks import (
    spine_default_run,
    training_encode,
    training_ranking_loss,
    training_settings,
    training_step,
)
from benchmarks._record import Benchmark

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "spine_default_run": Benchmark(spine_default_run.CLAIM, spine_default_run.measure),
    "training_step": Benchmark(training_step.CLAIM, training_step.measure),
    "training_encode": Benchmark(training_encode.CLAIM, training_encode.measure),
    "training_settings": Benchmark(training_settings.CLAIM, training_settings.measure),
    "training_ranking_loss": Benchmark(training_ranking_loss.CLAIM, training_ranking_loss.measure),
}
