"""Encoding what waits: a thread that reads texts into tokens, and one for each core that encodes.

Nothing waits for a clock: a lane that is free takes what is there. Only a lane that has just
answered several requests gives their clients a moment (`PATIENCE`) to ask again, since they do so
one by one and the first alone would make a poor batch (docs/decisions/0015).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
import torch

from pipeline.encoder.batches import WASTE, pad
from pipeline.serving.turns import Job, Row, Turns

if TYPE_CHECKING:
    from pipeline.encoder import Vectors
    from pipeline.encoder.transformer import TransformerEncoder

log = logging.getLogger(__name__)

PATIENCE: Final = 0.1  # of the time that the last batch took
WORTHWHILE: Final = 256  # tokens for which no lane waits any longer
SLICE: Final = 128  # texts read in one go
# Texts that begin in so many ways that what their rows share is the template's.
PROBES: Final = [start + "x" for start in "abcdefghijklmnopqrstuvwxyzABCDEFG 019.,-(é中"]


class Observed(NamedTuple):
    """One batch: its texts, its tokens without padding, and how long it took."""

    texts: int
    tokens: int
    seconds: float


class Full(Exception):  # noqa: N818 - reads as what it is
    """Too many texts wait; ``seconds`` is about how long they will take."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the queue is full")
        self.seconds = seconds


class Sizes(Protocol):
    """What the engine must know of the limits."""

    @property
    def max_queue(self) -> int:
        """Texts that may wait."""

    @property
    def max_batch(self) -> int:
        """Tokens in a batch; 0: the encoder's."""


class Lane:
    """What a thread remembers of its last batch."""

    def __init__(self) -> None:
        self.until = 0.0  # it waits for more until then
        self.goal = 0  # or until so many requests have come


class Engine:
    """Turns the texts of requests into vectors; its threads run until ``close``."""

    def __init__(
        self,
        encoder: TransformerEncoder,
        limits: Sizes,
        observe: Callable[[Observed], None] = lambda _: None,
    ) -> None:
        self.encoder, self._limits, self._observe = encoder, limits, observe
        self.max_tokens = limits.max_batch or encoder.max_tokens
        self._on_processor = encoder.model.device.type == "cpu"
        self._changed = threading.Condition()
        self._unread: deque[tuple[Job, int]] = deque()
        self._turns = Turns()
        self.waiting = 0  # texts
        self._arrived = 0  # requests
        self._idle = 0  # lanes
        self._closing = False
        self._pace = 0.0  # seconds a text takes one lane, lately
        encoder.model.eval()
        with torch.inference_mode():
            rows = encoder.token_ids(PROBES)
            self._start = encoder.start(rows)
        self._shared = rows[0][: self._start.length]
        self.lanes = torch.get_num_threads() if self._on_processor else 1
        works = [self._read, *[self._encode] * self.lanes]
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def submit(self, texts: Sequence[str], done: Callable[[], None]) -> Job:
        """Let distinct texts wait for their vectors; ``done`` is called when the job has ended.

        Raises:
            Full: when too many wait already.
        """
        job = Job.of(texts, self.encoder.dimensions, done)
        with self._changed:
            if self.waiting + len(job.texts) > self._limits.max_queue:
                raise Full(self.waiting * self._pace / self.lanes)
            self.waiting += len(job.texts)
            self._arrived += 1
            job.turn = self._turns.first()
            self._unread.append((job, 0))
            self._changed.notify_all()
        return job

    def forget(self, job: Job) -> None:
        """Give the places of a job to others; a batch that runs already is not stopped."""
        with self._changed:
            job.gone = True
            if job.waiting:
                self.waiting -= job.waiting
                job.waiting = 0
                self._turns.drop(job)

    def close(self) -> None:
        """End the threads after the batches that run; what still waits is left."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        """Turn texts into tokens, a slice of each job in turn."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unread or self._closing)
                if self._closing:
                    return
                job, begin = self._unread.popleft()
            if job.gone:
                continue
            try:
                ids = self.encoder.token_ids(job.texts[begin : begin + SLICE])
            except Exception as error:  # noqa: BLE001 - whatever it is, only this job has failed
                self._fail(job, error)
                continue
            with self._changed:
                self._wait_in_turn(job, begin, ids)

    def _wait_in_turn(self, job: Job, begin: int, ids: list[list[int]]) -> None:
        if job.gone:
            return
        job.tokens.extend(map(len, ids))
        self._turns.add([Row(job, begin + index, row) for index, row in enumerate(ids)])
        if begin + SLICE < len(job.texts):
            self._unread.append((job, begin + SLICE))
        self._changed.notify_all()

    def _encode(self) -> None:
        """Take what is there and encode it, again and again."""
        if self._on_processor:
            torch.set_num_threads(1)  # see pipeline.encoder.lanes
        lane = Lane()
        with torch.inference_mode():
            while rows := self._take(lane):
                begin = time.monotonic()
                vectors = self._vectors(rows)
                seconds = time.monotonic() - begin
                ended = self._deliver(rows, vectors)
                self._remember(lane, len(ended), seconds, len(rows))
                self._observe(Observed(len(rows), sum(len(row.ids) for row in rows), seconds))
                for job in ended:
                    job.done()

    def _take(self, lane: Lane) -> list[Row]:
        """Wait for rows and return a batch; none at the end."""
        with self._changed:
            self._idle += 1
            while not self._closing and not self._is_time(lane):
                pause = lane.until - time.monotonic() if len(self._turns) else None
                self._changed.wait(pause)
            rows = [] if self._closing else self._turns.take(self._share())
            self._idle -= 1
            for row in rows:
                row.job.waiting -= 1
            self.waiting -= len(rows)
            return rows

    def _is_time(self, lane: Lane) -> bool:
        enough = self._turns.tokens >= WORTHWHILE or self._arrived >= lane.goal
        return len(self._turns) > 0 and (enough or time.monotonic() >= lane.until)

    def _share(self) -> int:
        """Return how many tokens a lane takes: what there is, shared out among those idle.

        Below ``WASTE`` tokens another batch costs more than it saves.
        """
        return min(self.max_tokens, max(WASTE, -(-self._turns.tokens // self._idle)))

    def _remember(self, lane: Lane, answered: int, seconds: float, texts: int) -> None:
        with self._changed:
            lane.until = time.monotonic() + (PATIENCE * seconds if answered > 1 else 0)
            lane.goal = self._arrived + answered
            now = seconds / texts
            self._pace = 0.8 * self._pace + 0.2 * now if self._pace else now

    def _vectors(self, rows: Sequence[Row]) -> Vectors:
        """Return unit-length vectors; that of a text that fails is not a number."""
        try:
            return self._forward(rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, the neighbours go on
            if len(rows) == 1:
                log.error("a text of %d tokens failed: %s", len(rows[0].ids), named(error))  # noqa: TRY400 - its message may hold the text
                return np.full((1, self.encoder.dimensions), np.nan, dtype=np.float32)
        return np.concatenate([self._vectors([row]) for row in rows])

    def _forward(self, rows: Sequence[Row]) -> Vectors:
        cut = len(self._shared)
        usual = all(row.ids[:cut] == self._shared and len(row.ids) > cut for row in rows)
        ids = [row.ids[cut:] if usual else row.ids for row in rows]
        batch = pad(ids, list(range(len(ids))), self.encoder.pad_id)
        pooled = self.encoder.embed(batch, self._start) if usual else self.encoder.embed(batch)
        vectors: Vectors = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
        return vectors

    def _deliver(self, rows: Sequence[Row], vectors: Vectors) -> list[Job]:
        """Hand out vectors and return the jobs that have ended with them."""
        finite = [bool(np.isfinite(vector).all()) for vector in vectors]
        with self._changed:
            for row, vector, good in zip(rows, vectors, finite, strict=True):
                row.job.vectors[row.number] = vector
                row.job.missing -= 1
                row.job.failed |= not good
            found = dict.fromkeys(row.job for row in rows)
            ended = [job for job in found if not job.gone and (job.failed or not job.missing)]
            for job in ended:
                self.forget(job)
        return ended

    def _fail(self, job: Job, error: Exception) -> None:
        log.error("%d texts could not be read into tokens: %s", len(job.texts), named(error))
        job.failed = True
        self.forget(job)
        job.done()


def named(error: Exception) -> str:
    """Return what an error is and where it came from; its message may hold a client's text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
