"""The ledger: what was asked and what was billed, written the moment it is known."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, TypedDict

from tests.endpoint.script import CHAT, LINE

_QUESTIONS: Final = frozenset({CHAT, LINE})


class Entry(TypedDict):
    """One request. Moments are seconds on the machine's monotonic clock."""

    serial: int  # place in the ledger, from 1
    route: str
    number: int  # among the requests of the route since the script was set
    arrived: float
    key: str  # digest of the messages
    pairs: list[str]  # digests of each two texts asked about, in their order
    model: str
    idempotency_key: bool  # whether there was one
    authorization: bool
    early: bool  # it came although the server had asked to wait longer
    answered: str  # "good", "over_limit", the name of a fault, or what was wrong with the request
    status: int  # of the reply, sent or not
    billed: bool
    prompt_tokens: int  # billed
    completion_tokens: int
    content: str | None  # the answer's text
    custom_id: str  # of a line of a batch
    sent: float | None  # when the last byte was written
    gone: bool  # the client had closed before


class Ledger:
    """Entries in memory and, line by line, in a file."""

    def __init__(self, file: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self.in_flight = 0
        self._most = 0
        self._waits: dict[str, tuple[float, float]] = {}  # by route, from when until when
        self._file = file.open("a", encoding="utf-8", buffering=1) if file is not None else None
        self._cpu = time.process_time()

    def begin(self) -> int:
        """Count a request that arrived; return how many are under way."""
        self.in_flight += 1
        self._most = max(self._most, self.in_flight)
        return self.in_flight

    def early(self, route: str, moment: float) -> bool:
        """Return whether a request at this moment disregards a wait that was asked for."""
        start, end = self._waits.get(route, (0.0, 0.0))
        return start <= moment < end

    def wait(self, route: str, start: float, end: float) -> None:
        """Remember that clients were asked not to come between these moments.

        Calls come in the order of ``start``: a wait that begins within another prolongs it.
        """
        before = self._waits.get(route, (0.0, 0.0))
        self._waits[route] = (
            (before[0], max(before[1], end)) if start <= before[1] else (start, end)
        )

    def write(self, entry: Entry) -> None:
        """Append an entry, and its line to the file."""
        entry["serial"] = len(self.entries) + 1
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")

    def clear(self) -> None:
        """Forget everything, also in the file; requests under way stay counted."""
        self.entries.clear()
        self._waits.clear()
        self._most = self.in_flight
        self._cpu = time.process_time()
        if self._file is not None:
            self._file.truncate(0)

    def summary(self) -> dict[str, Any]:
        """Return the counts that tests compare with what a client believes."""
        asked = [entry for entry in self.entries if entry["route"] in _QUESTIONS]
        billed = [entry for entry in asked if entry["billed"]]
        keys = Counter(entry["key"] for entry in billed)
        pairs = Counter(
            f"{entry['model']}:{pair}" for entry in billed for pair in set(entry["pairs"])
        )
        return {
            "asked": len(asked),
            "billed": len(billed),
            "keys": len({entry["key"] for entry in asked if entry["key"]}),
            "billed_keys": len(keys),
            "billed_per_key_max": max(keys.values(), default=0),
            "keys_billed_twice": sorted(key for key, count in keys.items() if count > 1),
            "pairs_billed_twice": sorted(pair for pair, count in pairs.items() if count > 1),
            "prompt_tokens": sum(entry["prompt_tokens"] for entry in asked),
            "completion_tokens": sum(entry["completion_tokens"] for entry in asked),
            "early_sends": sum(entry["early"] for entry in self.entries),
            "gone": sum(entry["gone"] for entry in asked),
            "in_flight": self.in_flight,
            "in_flight_most": self._most,
            "answered": dict(Counter(entry["answered"] for entry in asked)),
            "routes": dict(Counter(entry["route"] for entry in self.entries)),
            "cpu_seconds": time.process_time() - self._cpu,
        }
