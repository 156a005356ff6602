"""Which issue an issue is a duplicate of, read from what people wrote and clicked.

GitHub's REST API says *that* an issue was closed as a duplicate and not *of what*: neither the
issue nor its ``marked_as_duplicate`` event names the other one. So the other one is read from the
comments, and asked of the GraphQL API where a token allows (`pipeline.sources.hub.trails`).

How much is believed depends on who says it. A maintainer's "duplicate of #n" stands alone; "may be
a duplicate of #n" or "see #n" counts only for an issue that is marked as a duplicate by its label,
the reason it was closed for, or a timeline event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pipeline.sources.hub.issues import COMMENT, MAINTAINERS, MARKED, UNMARKED, Event, Issue

_NAME: Final = r"[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}"
_TARGET: Final = re.compile(
    rf"https?://[\w.-]{{1,100}}/(?P<linked>{_NAME})/issues/(?P<number1>\d{{1,9}})(?![\w/])"
    rf"|(?<![\w&/.-])(?P<named>{_NAME})?#(?P<number2>\d{{1,9}})(?!\w)"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_BETWEEN: Final = re.compile(r"[\s,;&/+()\[\]]*(?:and|or)?[\s(\[]*", re.IGNORECASE)

# What stands right before a reference. Small words may come between.
_SMALL: Final = (
    r"(?:[\s:,*_(\[-]+(?:of|for|to|with|by|in|as|at|an?|the|this|it|issue|bug|ticket|report|"
    r"existing|original|other|another|already|reported|closed|please|see|also)\b)*"
)
_END: Final = r"[\s:*_(\[<-]*$"
_WORDED: Final = re.compile(rf"\b(?:duplicate[sd]?|dup[es]?|dupes){_SMALL}{_END}", re.IGNORECASE)
_LOOSE: Final = re.compile(
    r"\b(?:in\s+favou?r|same|see|follow|covered|tracked|tracking|reported|superseded|merged|"
    rf"moved|continued?|already\s+have){_SMALL}{_END}",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(
    r"\b(?:not|never|no\s+longer|isn.?t|wasn.?t|aren.?t|rather\s+than)\b[^,;:]{0,40}$",
    re.IGNORECASE,
)
_HEDGED: Final = re.compile(
    r"\b(?:possibl[ey]|potential(?:ly)?|might|may|maybe|perhaps|probably|likely|could|looks|"
    r"seems?|suspect|similar|if|whether|think|related)\b",
    re.IGNORECASE,
)
_FENCE: Final = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)[^\n]*$", re.DOTALL | re.MULTILINE)
_QUOTE: Final = re.compile(r"^\s{0,3}>.*$", re.MULTILINE)
_INLINE: Final = re.compile(r"`[^`\n]{1,300}`")
_LINKED: Final = re.compile(
    r"\[[^\[\]\n]{0,200}\]\($"
)  # the text of a link that ends in a reference
_LEAD: Final = 320  # characters before a reference that are looked at


class Place(NamedTuple):
    """Where an issue lives: the repository's name and the names it is also known by."""

    repository: str
    aliases: frozenset[str] = frozenset()

    def name_of(self, repository: str, number: int) -> str:
        """Return the name of an issue; a repository of "" is this one."""
        own = not repository or repository.lower() in {self.repository.lower(), *self.aliases}
        return f"{self.repository if own else repository}#{number}"


class Mention(NamedTuple):
    """A reference to an issue, and how surely it is named as the one duplicated."""

    name: str
    sure: str  # "worded", "hedged", "loose", "denied" or ""


def mentions(text: str, place: Place) -> list[Mention]:
    """Return the references to issues in a comment, in their order; quotes and code are skipped."""
    plain = _INLINE.sub(" ", _QUOTE.sub("", _FENCE.sub("", text.replace("\r\n", "\n"))))
    return [one for sentence in _SENTENCE.split(plain) for one in _in_sentence(sentence, place)]


def _in_sentence(sentence: str, place: Place) -> Iterator[Mention]:
    sure, end = "", 0
    for match in _TARGET.finditer(sentence):
        between = sentence[end : match.start()]
        if not (end and sure and _BETWEEN.fullmatch(between)):  # "duplicate of #1 and #2"
            sure = _sureness(_LINKED.sub("", between[-_LEAD:]), sentence)
        end = match.end()
        repository = match["linked"] or match["named"] or ""
        number = int(match["number1"] or match["number2"])
        yield Mention(place.name_of(repository, number), sure)


def _sureness(lead: str, sentence: str) -> str:
    if word := _WORDED.search(lead):
        before = lead[: word.start()]
        if _DENIED.search(before):
            return "denied"
        asked = sentence.rstrip().endswith("?")
        return "hedged" if asked or _HEDGED.search(before) else "worded"
    if (word := _LOOSE.search(lead)) and not _DENIED.search(lead[: word.start()]):
        return "loose"
    return ""


def looks_like_duplicate(issue: Issue, comments: int, how: str) -> bool:
    """Return whether it is worth asking what an issue is a duplicate of.

    Args:
        issue: an issue.
        comments: how many comments it has.
        how: "none", "marked" (its label, closing reason or text says so) or "closed" (every closed
            issue with comments).
    """
    if how == "none" or issue.reopened:
        return False
    if how == "closed" and issue.state == "closed" and comments:
        return True
    return issue.marked or bool(_WORDED_ANYWHERE.search(issue.body))


_WORDED_ANYWHERE: Final = re.compile(
    r"\bdup(?:licate[sd]?|es?)?(?:\s+of)?:?\s+(?:\S{1,120})?(?:#|/issues/)\d", re.IGNORECASE
)


def duplicates(issue: Issue, events: Sequence[Event], place: Place, own: str) -> tuple[str, ...]:
    """Return the names of the issues that an issue is a duplicate of, best evidence only.

    Args:
        issue: the issue.
        events: its timeline, oldest first.
        place: its repository.
        own: its own name, which it cannot be a duplicate of.
    """
    marks = [event.kind for event in events if event.kind in (MARKED, UNMARKED)]
    withdrawn = marks[-1:] == [UNMARKED] and issue.state_reason != "duplicate"
    if issue.reopened or withdrawn:
        return ()
    marked = issue.marked or marks[-1:] == [MARKED]
    said = [event for event in events if event.kind == COMMENT]
    opening = Event(kind=COMMENT, body=issue.body, association=issue.association)
    for wanted in _EVIDENCE:
        if not marked and (wanted.marked or issue.state != "closed"):
            continue
        found = _latest([opening, *said], wanted, place, own)
        if found:
            return found
    return _only_one(said, place, own) if marked else ()


class _Evidence(NamedTuple):
    sure: str
    marked: bool  # counts for issues that are marked as duplicates only
    by_anyone: bool


_EVIDENCE: Final = (
    _Evidence("worded", marked=False, by_anyone=False),
    _Evidence("worded", marked=True, by_anyone=True),
    _Evidence("hedged", marked=True, by_anyone=True),
    _Evidence("loose", marked=True, by_anyone=False),
)


def _latest(
    events: Sequence[Event], wanted: _Evidence, place: Place, own: str
) -> tuple[str, ...]:  # fmt: skip
    """Return what the last comment that gives the wanted evidence names."""
    for event in reversed(events):
        if wanted.by_anyone or event.association in MAINTAINERS:
            named = [one.name for one in mentions(event.body, place) if one.sure == wanted.sure]
            if found := tuple(dict.fromkeys(name for name in named if name != own)):
                return found
    return ()


def _only_one(events: Sequence[Event], place: Place, own: str) -> tuple[str, ...]:
    """Return the one issue that maintainers refer to, nothing where there are several."""
    names = {
        one.name
        for event in events
        if event.association in MAINTAINERS
        for one in mentions(event.body, place)
        if one.sure != "denied"
    } - {own}
    return tuple(names) if len(names) == 1 else ()
