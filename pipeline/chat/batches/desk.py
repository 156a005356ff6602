"""What a round of asking in batches works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.chat.batches.direct import Direct
from pipeline.chat.batches.keeper import Keeper
from pipeline.chat.batches.lines import Spool
from pipeline.chat.engine import Engine
from pipeline.journal.entries import Asking
from pipeline.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pipeline.sections import ChatSettings


class Desk(NamedTuple):
    """Those who have a part in it, and the terms.

    ``engine`` knows what the journal holds and whether to stop; ``batched`` judges what comes in
    batches, at their price; ``shown`` is how many questions of a batch are done, and of how many.
    """

    engine: Engine
    batched: Engine
    direct: Direct
    keeper: Keeper
    spool: Spool
    writer: JournalWriter
    asking: Asking
    settings: ChatSettings
    shown: dict[str, tuple[int, int]]
