"""Progress of long work: a bar with rate and remaining time on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from tqdm import tqdm

log = logging.getLogger(__name__)

_LOG_EVERY: Final = 15.0  # seconds


class Progress:
    """Counts work done towards a total (0: unknown); use as a context manager."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        shown = bool(label) and sys.stderr.isatty()
        self._bar: tqdm[None] = tqdm(
            total=total or None, desc=label, unit=unit, disable=not shown, leave=False
        )
        self._start = self._logged = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, count: int = 1, **figures: str) -> None:
        """Count ``count`` more units as done; ``figures`` are shown beside the bar."""
        self.done += count
        self._bar.update(count)
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        now = time.monotonic()
        unseen = self._bar.disable and self.label and self.total
        if unseen and now - self._logged > _LOG_EVERY:
            self._logged = now
            shown = "".join(f", {name} {value}" for name, value in figures.items())
            if self.done:
                remaining = (now - self._start) * (self.total - self.done) / self.done
                shown = f", about {remaining:.0f} s left{shown}"
            log.info("%s: %d of %d %ss%s", self.label, self.done, self.total, self.unit, shown)
