"""What a batch's files say of its questions: every answer is kept as it came before it counts.

Lines come in any order, twice, cut off, about questions that nobody asked, or not at all. What a
process that is gone has entered stays as it is, so files can be read from the start again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import IO, Final, NamedTuple, TypeVar

from pipeline.chat.batches.lines import Heard, lines_of, read_line
from pipeline.chat.batches.provider import Counts
from pipeline.chat.faults import Fault
from pipeline.chat.prices import Price
from pipeline.chat.replies import read
from pipeline.journal.batches import Attempt
from pipeline.journal.entries import Bill
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter

log = logging.getLogger(__name__)

T = TypeVar("T")
GROUP: Final = 256  # lines that are entered at a time
GONE: Final = Fault("ambiguous", "answers_gone")
MISSING: Final = Fault("ambiguous", "answer_missing")
LEFT_OUT: Final = Fault("refused", "left_out")


class Ended(NamedTuple):
    """How a question of a batch ended, as the journal has it: with an answer's body or a fault.

    ``asked`` is false where its batch never ran.
    """

    key: str
    number: int
    body: bytes | None = None
    fault: Fault | None = None
    asked: bool = True


class Collection:
    """Reads the files of one batch."""

    def __init__(self, runner: str, writer: JournalWriter, price: Price) -> None:
        self._runner, self._writer, self._price = runner, writer, price
        self._seen: set[str] = set()
        self._broken: dict[str, bytes] = {}  # by question; the line may be there whole as well
        self._odd: Counter[str] = Counter()
        self.answers = 0
        self.faults: Counter[Fault] = Counter()

    async def read(self, file: IO[bytes]) -> AsyncIterator[Ended]:
        """Enter what a file says; yield the questions that end by it."""
        for group in portions(map(read_line, filter(None, lines_of(file))), GROUP):
            for ended in await self._writer.submit(partial(self._enter, group)):
                yield ended

    def lost(self, counts: Counts | None) -> int:
        """Return how many answers are known to be there and did not come."""
        return max(0, counts.completed - self.answers) if counts else self._odd["broken"]

    async def conclude(self, counts: Counts | None, *, gone: bool) -> AsyncIterator[Ended]:
        """Enter what the files leave open; yield the questions that end by that.

        Where the provider counts more answers than came (``counts``), or a file is ``gone``, a
        question that no line is about was perhaps answered, and billed; else it was not asked.
        """
        cut = [Heard(key, line, line) for key, line in self._broken.items()]
        for group in portions(cut, GROUP):
            for ended in await self._writer.submit(partial(self._enter, group)):
                yield ended
        fault = GONE if gone else MISSING if self.lost(counts) else LEFT_OUT
        left = await self._writer.submit(lambda journal: journal.batches.waiting(self._runner))
        for part in portions(left.items(), GROUP):
            missing = [Ended(key, number, fault=fault) for key, number in part]
            await self._writer.submit(partial(_enter_faults, missing))
            for ended in missing:
                yield ended
        if left:
            log.warning("%d questions of %s are in none of its files", len(left), self._runner)
        for kind, count in self._odd.items():
            log.warning("%s has %d %s lines; they are kept in the journal (batch_oddity)",
                        self._runner, count, kind)  # fmt: skip

    def _enter(self, group: Sequence[Heard], journal: RequestJournal) -> list[Ended]:
        """Enter a group of lines, as they came; return how the questions ended that they answer."""
        keys = {heard.key for heard in group if heard.key.isprintable()}
        attempts = journal.batches.attempts(self._runner, keys)
        found = []
        for heard in group:
            attempt = attempts.get(heard.key)
            kind = self._oddity(heard, attempt)
            if kind:
                self._odd[kind] += 1
                journal.batches.keep_oddity(self._runner, kind, heard.raw)
            elif attempt and not attempt.ended:
                found.append(Ended(heard.key, attempt.number, heard.body, heard.fault))
        self._enter_answers(found, journal)
        _enter_faults(found, journal)
        return found

    def _oddity(self, heard: Heard, attempt: Attempt | None) -> str:
        """Return in a word why a line answers no question; "" where it does. The first counts."""
        if not heard.whole:
            if attempt and heard.key not in self._seen:
                self._broken[heard.key] = heard.raw
            return "broken"
        if attempt is None:
            return "unknown"
        if heard.key in self._seen:
            return "repeated"
        self._seen.add(heard.key)
        self._broken.pop(heard.key, None)
        self.answers += heard.body is not None
        if heard.fault:
            self.faults[heard.fault._replace(detail="")] += 1
        return ""

    def _enter_answers(self, found: Iterable[Ended], journal: RequestJournal) -> None:
        """Keep answers as they came, and settle what they cost; judging them comes later."""
        for ended in found:
            if ended.body is None:
                continue
            journal.receive(ended.key, ended.number, ended.body)
            usage = read(ended.body).usage
            counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
            bill = Bill(self._price.cost(*counts) if usage else None, *counts)
            journal.judge(ended.key, ended.number, "received", "", bill)


def _enter_faults(found: Iterable[Ended], journal: RequestJournal) -> None:
    for ended in found:
        if ended.fault and ended.fault.kind == "ambiguous":
            journal.doubt(ended.key, ended.number, ended.fault.reason)
        elif ended.fault:
            journal.refuse(ended.key, ended.number, ended.fault.reason)


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part
