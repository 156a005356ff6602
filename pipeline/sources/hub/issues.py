"""An issue as GitHub's REST API gives it, and the part of it that is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.records import Record, digest_of
from pipeline.sources.hub.limits import Trouble

# Who speaks for a repository: https://docs.github.com/graphql/reference/enums, author association.
MAINTAINERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})

# Kinds of timeline events that tell of duplicates.
MARKED: Final = "marked_as_duplicate"
UNMARKED: Final = "unmarked_as_duplicate"
COMMENT: Final = "commented"

_DUPLICATE_LABEL: Final = re.compile(r"(?<![a-z])dup(?:licate|e)?s?(?![a-z])", re.IGNORECASE)
_HEDGED_LABEL: Final = re.compile(r"possibl|potential|maybe|suspect|not|\?", re.IGNORECASE)


class Issue(Record):
    """What is kept of an issue: all that decides its text and whether it is a duplicate."""

    title: str
    body: str = ""
    url: str = ""
    state: str = "open"
    state_reason: str = ""
    labels: tuple[str, ...] = ()
    association: str = Field("", description="of its author with the repository")

    @property
    def reopened(self) -> bool:
        """Whether somebody thought better of closing it."""
        return self.state == "open" and self.state_reason == "reopened"

    @property
    def marked(self) -> bool:
        """Whether a label or the reason it was closed for says that it is a duplicate."""
        labelled = any(
            _DUPLICATE_LABEL.search(label) and not _HEDGED_LABEL.search(label)
            for label in self.labels
        )
        return self.state_reason == "duplicate" or labelled


class Event(Record):
    """Something that happened to an issue: a comment, or its marking as a duplicate."""

    kind: str
    body: str = ""
    association: str = ""


class Arrived(NamedTuple):
    """An entry of a list of issues; ``issue`` is None for a pull request."""

    number: int
    updated_at: str
    comments: int
    issue: Issue | None

    @property
    def digest(self) -> str:
        """What changes exactly when the issue's content does."""
        return digest_of(self.issue.model_dump_json()) if self.issue else ""


class _Given(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _GivenLabel(_Given):
    name: str | None = ""


class _GivenIssue(_Given):
    number: int = Field(ge=1, lt=1 << 62)
    updated_at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    title: str | None = ""
    body: str | None = ""
    html_url: str | None = ""
    state: str | None = "open"
    state_reason: str | None = ""
    labels: tuple[_GivenLabel | str, ...] = ()
    author_association: str | None = ""
    comments: int = 0
    pull_request: Mapping[str, Any] | None = None


class _GivenEvent(_Given):
    event: str | None = ""
    body: str | None = ""
    author_association: str | None = ""

    @field_validator("body", mode="before")
    @classmethod
    def _text_alone(cls, value: object) -> str:
        return value if isinstance(value, str) else ""


_G = TypeVar("_G", bound=_Given)


def parse_issues(value: object) -> list[Arrived]:
    """Return the entries of a page of a repository's issues, pull requests among them.

    Raises:
        Trouble: when it is none.
    """
    return [_arrived(_valid(_GivenIssue, item)) for item in _items(value)]


def parse_events(value: object) -> list[Event]:
    """Return the events of a page of an issue's timeline that tell of duplicates.

    Raises:
        Trouble: when it is no such page.
    """
    found = [_valid(_GivenEvent, item) for item in _items(value)]
    return [
        Event(kind=one.event or "", body=one.body or "", association=one.author_association or "")
        for one in found
        if one.event in (COMMENT, MARKED, UNMARKED)
    ]


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Trouble("bad_answer", "a list was asked for, and something else came back")
    return value


def _valid(model: type[_G], item: object) -> _G:
    try:
        return model.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"an entry is not as documented ({where}: {first['msg']})"
        raise Trouble("bad_answer", message) from error


def _arrived(given: _GivenIssue) -> Arrived:
    if given.pull_request is not None:
        return Arrived(given.number, given.updated_at, given.comments, None)
    labels = [label if isinstance(label, str) else label.name for label in given.labels]
    issue = Issue(
        title=given.title or "",
        body=given.body or "",
        url=given.html_url or "",
        state=given.state or "open",
        state_reason=given.state_reason or "",
        labels=tuple(label for label in labels if label),
        association=given.author_association or "",
    )
    return Arrived(given.number, given.updated_at, given.comments, issue)
