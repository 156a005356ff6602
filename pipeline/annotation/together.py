"""Several pairs in one request: which pairs go together, and what each got of the answer.

It saves the tokens of the rubric, which is sent once for all pairs of a request. A pair's answer is
found again whatever pairs are asked about next time, and is never asked for twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Final

from pipeline import prompts
from pipeline.annotation import asking, questions
from pipeline.annotation.inquiry import Found
from pipeline.annotation.opinions import Terms
from pipeline.annotation.questions import Topic
from pipeline.annotation.scoring import OUTPUTS, Parsed, Scores
from pipeline.chat.engine import Result, Verdict
from pipeline.chat.replies import Reply, read
from pipeline.journal.database import connect
from pipeline.journal.entries import Known
from pipeline.journal.requests import RequestJournal
from pipeline.journal.shared import Shared
from pipeline.sections import ChatSettings

PART: Final = "set"


def ask(name: str, settings: ChatSettings, terms: Terms, topics: Sequence[Topic]) -> Found:
    """Return how every topic ended, several of them asked in one request; as `asking.ask`.

    Raises:
        EndpointError: when the endpoint cannot be used; what it answered is kept.
        KeyboardInterrupt: when it was interrupted; what was on its way is kept.
    """
    identity = asking.identity(settings)
    by_key = {questions.question(identity, topic).key: topic for topic in topics}
    sets, strange = _arranged(settings, terms, identity, by_key)
    wanted = {shared: _topic(shared, by_key) for shared in sets if shared not in strange}
    found = asking.ask(name, settings, terms, list(wanted.values()))
    ended = dict(zip(wanted, found.results, strict=True)) | strange
    places = {
        key: _own(ended[shared], number)
        for shared in sets
        for number, key in enumerate(shared.members)
    }
    reused = found.reused * settings.pairs_per_request + sum(
        key in by_key for shared in strange for key in shared.members
    )
    return found._replace(results=[places[key] for key in by_key], reused=min(reused, len(topics)))


def _arranged(
    settings: ChatSettings, terms: Terms, identity: str, by_key: Mapping[str, Topic]
) -> tuple[list[Shared], dict[Shared, Result]]:
    """Return the sets, and how those ended that hold pairs of others as well.

    The orders of a pair, and its samples, never share a request.
    """
    parts: dict[str, list[str]] = defaultdict(list)
    for key, topic in by_key.items():
        parts[topic.part].append(key)

    def key_of(subject: str) -> str:
        return questions.question(identity, Topic(subject, PART, ())).key

    with closing(connect(terms.journal)) as database, database.transaction():
        journal = RequestJournal(database)
        journal.prepare()
        sets = [
            shared
            for keys in parts.values()
            for shared in journal.sets.arrange(keys, settings.pairs_per_request, key_of)
        ]
        mixed = [shared for shared in sets if not by_key.keys() >= set(shared.members)]
        others = {shared: key_of(shared.subject) for shared in mixed}
        known = journal.known(list(others.values()))
    return sets, {shared: _stranger(known[key], settings) for shared, key in others.items()}


def _topic(shared: Shared, by_key: Mapping[str, Topic]) -> Topic:
    texts = [dict(by_key[key].values) for key in shared.members]
    pairs = tuple((str(one["text1"]), str(one["text2"])) for one in texts)
    return Topic(shared.subject, PART, (("pairs", pairs),))


def _stranger(known: Known, settings: ChatSettings) -> Result:
    """Return how a set ended that is not asked here, because pairs of others are in it."""
    if known.state == "accepted" and known.reply is not None:
        prompt, reply = prompts.load(settings.prompt), read(known.reply)
        if isinstance(reply, Reply):
            return Result("accepted", Verdict(OUTPUTS[prompt.output].parse(reply, prompt)))
    if known.state in ("rejected", "uncertain"):
        return Result(known.state, Verdict(reason=known.reason))
    return Result("unasked", Verdict(reason="asked_elsewhere"))


def _own(result: Result, number: int) -> Result:
    """Return what a set's answer says of the pair at a place of it."""
    said = result.verdict.value
    if result.state != "accepted" or not isinstance(said, Scores):
        return result
    one = said.each[number] if number < len(said.each) else None
    if isinstance(one, Parsed):
        return Result("accepted", Verdict(one))
    return Result("rejected", Verdict(reason=one.reason if one else "left_out"))
