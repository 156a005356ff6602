"""Every benchmark by its name, which is that of its file."""

from __future__ import annotations

from typing import Final

from benchmarks import (
    annotation_faults,
    annotation_injection,
    annotation_journal,
    annotation_kills,
    annotation_several,
    annotation_throughput,
    evaluation_bootstrap,
    evaluation_equality,
    evaluation_exports,
    evaluation_mteb,
    evaluation_search,
    evaluation_serving,
    evaluation_strength,
    evaluation_sts,
    mining_cleaning,
    mining_coverage,
    mining_crawl,
    mining_duplicates,
    mining_funnels,
    mining_neighbours,
    mining_source_runs,
    spine_default_run,
    training_encode,
    training_ranking_loss,
    training_settings,
    training_step,
)
from benchmarks._record import Benchmark

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "spine_default_run": Benchmark(spine_default_run.CLAIM, spine_default_run.measure),
    "annotation_injection": Benchmark(annotation_injection.CLAIM, annotation_injection.measure),
    "annotation_journal": Benchmark(annotation_journal.CLAIM, annotation_journal.measure),
    "annotation_kills": Benchmark(annotation_kills.CLAIM, annotation_kills.measure),
    "annotation_faults": Benchmark(annotation_faults.CLAIM, annotation_faults.measure),
    "annotation_several": Benchmark(annotation_several.CLAIM, annotation_several.measure),
    "annotation_throughput": Benchmark(annotation_throughput.CLAIM, annotation_throughput.measure),
    "evaluation_mteb": Benchmark(evaluation_mteb.CLAIM, evaluation_mteb.measure),
    "mining_cleaning": Benchmark(mining_cleaning.CLAIM, mining_cleaning.measure),
    "mining_coverage": Benchmark(mining_coverage.CLAIM, mining_coverage.measure),
    "mining_crawl": Benchmark(mining_crawl.CLAIM, mining_crawl.measure),
    "mining_duplicates": Benchmark(mining_duplicates.CLAIM, mining_duplicates.measure),
    "mining_funnels": Benchmark(mining_funnels.CLAIM, mining_funnels.measure),
    "mining_neighbours": Benchmark(mining_neighbours.CLAIM, mining_neighbours.measure),
    "mining_source_runs": Benchmark(mining_source_runs.CLAIM, mining_source_runs.measure),
    "training_step": Benchmark(training_step.CLAIM, training_step.measure),
    "training_encode": Benchmark(training_encode.CLAIM, training_encode.measure),
    "training_settings": Benchmark(training_settings.CLAIM, training_settings.measure),
    "training_ranking_loss": Benchmark(training_ranking_loss.CLAIM, training_ranking_loss.measure),
    "evaluation_bootstrap": Benchmark(evaluation_bootstrap.CLAIM, evaluation_bootstrap.measure),
    "evaluation_equality": Benchmark(evaluation_equality.CLAIM, evaluation_equality.measure),
    "evaluation_exports": Benchmark(evaluation_exports.CLAIM, evaluation_exports.measure),
    "evaluation_search": Benchmark(evaluation_search.CLAIM, evaluation_search.measure),
    "evaluation_serving": Benchmark(evaluation_serving.CLAIM, evaluation_serving.measure),
    "evaluation_strength": Benchmark(evaluation_strength.CLAIM, evaluation_strength.measure),
    "evaluation_sts": Benchmark(evaluation_sts.CLAIM, evaluation_sts.measure),
}
