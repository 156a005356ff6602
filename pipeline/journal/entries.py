"""What goes into the journal of requests and comes out of it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Question(NamedTuple):
    """What identifies one question: its key covers all that decides the answer."""

    key: str
    annotator: str
    subject: str  # the id of the pair


class Cost(NamedTuple):
    """Money in billionths of a dollar, and tokens."""

    usd: int
    tokens: int


class Bill(NamedTuple):
    """What an answer cost, and its tokens; None where the endpoint did not say: as reserved."""

    paid: Cost | None
    prompt_tokens: int
    completion_tokens: int


class Budget(NamedTuple):
    """What a job may cost in all its runs together; None where there is no limit."""

    usd: int | None = None
    tokens: int | None = None
    requests: int | None = None


class Spent(NamedTuple):
    """What a job has cost so far; what is reserved for requests on their way is included."""

    usd: int
    tokens: int
    requests: int


class Known(NamedTuple):
    """Where a question stands, and the answer that counts, where there is one that is whole."""

    state: str
    reason: str
    tries: int
    number: int  # of the attempt that was answered
    reply: bytes | None


class Claim(NamedTuple):
    """The right to send one question; ``number`` is that of the attempt, 0 where it is refused.

    ``refused``: "taken" (answered or on its way elsewhere), "held" (uncertain), "budget", "fenced".
    """

    number: int
    refused: Literal["", "taken", "held", "budget", "fenced"] = ""


class Asking(NamedTuple):
    """On whose behalf questions are sent, and within what."""

    runner: str
    job: str
    budget: Budget
    resend: bool
