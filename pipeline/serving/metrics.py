"""What the endpoint counts, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from pipeline.serving.engine import Observed

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one server; safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "angle_adapt_requests", "Requests for vectors that were answered.", ["status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "angle_adapt_request_seconds", "From a request's head to its answer.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.texts = Counter("angle_adapt_texts", "Texts in answers.", registry=registry)
        self.tokens = Counter("angle_adapt_tokens", "Tokens in answers.", registry=registry)
        self._batches = Histogram(
            "angle_adapt_batch_texts", "Texts in a batch.", buckets=_TEXTS, registry=registry
        )
        self._batch_tokens = Counter(
            "angle_adapt_batch_tokens", "Tokens in batches, padding not counted.",
            registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "angle_adapt_batch_seconds", "What a batch took.", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge(
            "angle_adapt_texts_waiting", "Texts that no batch has taken yet.", registry=registry
        )
        self._ready = Gauge("angle_adapt_ready", "1 when the model is loaded.", registry=registry)

    def batch(self, seen: Observed) -> None:
        """Count one batch."""
        self._batches.observe(seen.texts)
        self._batch_tokens.inc(seen.tokens)
        self._batch_seconds.observe(seen.seconds)

    def ready(self, waiting: Callable[[], float]) -> None:
        """Show that the model is there, and from now on how many texts wait."""
        self._ready.set(1)
        self._waiting.set_function(waiting)

    def page(self) -> bytes:
        """Return all figures as text."""
        return generate_latest(self._registry)
