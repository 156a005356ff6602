"""What is left in a journal, compared with the endpoint's ledger, which is the truth."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.annotation import chat
from pipeline.annotation.opinions import Terms, TextPair
from pipeline.chat import prices
from pipeline.journal.database import Database, connect
from pipeline.journal.entries import Budget
from pipeline.journal.requests import RequestJournal
from pipeline.records import pair_id
from pipeline.sections import ChatSettings
from tests.endpoint.completions import pair_key
from tests.endpoint.fixtures import Endpoint

CONCURRENCY: Final = 16
PAIRS: Final = 250


class Place(NamedTuple):
    """Where a trial happens: a journal that is new, a folder, and an endpoint."""

    journal: str
    folder: Path
    endpoint: Endpoint
    resend: bool = False

    @property
    def settings(self) -> ChatSettings:
        """How the endpoint is asked: once for each pair."""
        return ChatSettings(
            base_url=self.endpoint.url, model="a-model", key="", orders=1, timeout=20,
            concurrency=CONCURRENCY, price_input=1.0, price_output=3.0,
        )  # fmt: skip

    @property
    def acknowledged(self) -> Path:
        """The file in which victims enter each answer that they have committed."""
        return self.folder / "acknowledged"


class Found(NamedTuple):
    """What journal and ledger say in the end; all but the first two should be 0."""

    answered: int = 0
    uncertain: int = 0
    open: int = 0  # questions in any other state
    lost: int = 0  # answers that were committed and are not there
    unlisted: int = 0  # pairs billed without an answer that are not uncertain
    twice: int = 0  # pairs billed more than once
    again: int = 0  # bills beyond the first of each pair
    twice_unlisted: int = 0  # billed more than once though never listed as uncertain
    underpaid: int = 0  # billionths of a dollar that the endpoint billed and the job does not hold


def texts(count: int) -> list[TextPair]:
    """Return pairs that share more or fewer words."""
    words = "open close read file socket byte list sort number size path name".split()  # noqa: SIM905
    return [
        (f"{' '.join(words[n % 7 : n % 7 + 5])} {n}", f"{' '.join(words[n % 5 : n % 5 + 6])} {n}")
        for n in range(count)
    ]


def by_ledger(database: Database, count: int) -> dict[str, str]:
    """Return the question's key by what the ledger calls its pair, in either order."""
    keys: dict[str, str] = dict(database.execute("select subject, key from question"))  # type: ignore[arg-type]
    return {
        pair_key(*ordered): keys[pair_id(*pair)]
        for pair in texts(count)
        for ordered in (pair, pair[::-1])
    }


def label(place: Place, count: int = PAIRS) -> int:
    """Ask about the pairs; return how many have a score."""
    terms = Terms(place.journal, "job", Budget(), place.resend)
    found = chat.ChatAnnotator("victim", place.settings, terms).annotate(texts(count))
    return sum(score == score for score in found.scores)  # noqa: PLR0124 - NaN is none


def acknowledgement(key: str, number: int, reply: bytes) -> str:
    """Return the line about an answer that was committed."""
    return f"{key} {number} {hashlib.sha256(reply).hexdigest()}\n"


def audit(place: Place, count: int = PAIRS, listed: set[str] | None = None) -> Found:
    """Compare the journal with what was acknowledged and with what the endpoint billed."""
    with closing(connect(place.journal)) as database, database.transaction():
        journal = RequestJournal(database)
        by_pair = by_ledger(database, count)
        known = journal.known(sorted(set(by_pair.values())))
        rows = database.execute("select key, number, reply from attempt where reply is not null")
        spent = journal.spent("job")
    kept = {acknowledgement(key, number, bytes(reply)) for key, number, reply in rows}
    noted = place.acknowledged.read_text().splitlines(keepends=True)
    ledger = [entry for entry in place.endpoint.ledger() if entry["billed"]]
    billed = Counter(by_pair[pair] for entry in ledger for pair in entry["pairs"])
    states = Counter(one.state for one in known.values())
    price = prices.Price(1_000, 3_000)
    usd = sum(price.cost(one["prompt_tokens"], one["completion_tokens"]).usd for one in ledger)
    twice = {key for key, times in billed.items() if times > 1}
    return Found(
        answered=states["accepted"],
        uncertain=states["uncertain"],
        open=count - states["accepted"] - states["uncertain"],
        lost=sum(line not in kept for line in noted),
        unlisted=sum(
            known[key].reply is None and known[key].state != "uncertain" for key in billed
        ),
        twice=len(twice),
        again=sum(billed.values()) - len(billed),
        twice_unlisted=len(twice - (listed or set())),
        underpaid=max(0, usd - spent.usd),
    )
