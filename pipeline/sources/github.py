"""Issues of GitHub repositories, and which of them duplicate one another.

The text of a document is what the issue's body says (`pipeline.sources.hub.text`); its title stands
beside it, so that title and body can be paired. An issue whose body says nothing is its title. The
AnglE paper's set of GitHub issues compares title and body together, and so does the gold set that
is made of these documents (`pipeline.sources.duplicates`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, digest_of, text_id
from pipeline.sections import CollectSettings
from pipeline.sources.hub import references, text
from pipeline.sources.hub.client import Client
from pipeline.sources.hub.fetching import Visit, fetch
from pipeline.sources.hub.issues import Issue
from pipeline.sources.hub.limits import Trouble
from pipeline.sources.hub.references import Place
from pipeline.sources.hub.shelf import RepositoryShelf, Row

log = logging.getLogger(__name__)

SOURCE: Final = "github"
STAGE: Final = "collect"


class Asked(NamedTuple):
    """Whose duplicates are wanted: how far to look, where it lives, and its own name."""

    how: str
    place: Place
    name: str


_URL: Final = re.compile(r"^https?://[^/]+/(?P<repository>[^/]+/[^/]+)/issues/\d+$")


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Fetch what has changed in every repository; a repository that fails does not stop the rest.

    Raises:
        InputError: when no repository is named.
    """
    wanted = _repositories(settings)
    over: Trouble | None = None  # what makes it useless to ask about the others
    with Client(settings.github) as client, Progress("github", 0, "issue") as progress:
        for repository in wanted:
            with RepositoryShelf(_folder(settings, shelf, repository)) as known, known.alone():
                if over is None:
                    over = _visit(Visit(client, known, repository, settings.github), progress)
                else:
                    known.note(trouble=over.reason, trouble_detail=over.detail)


def _visit(visit: Visit, progress: Progress) -> Trouble | None:
    """Fetch a repository, note how that went, and return what stops all others too."""
    asked, found = visit.client.requests, None
    try:
        fetch(visit, progress)
    except Trouble as trouble:
        found = trouble
        log.warning("%s: %s: %s", visit.repository, trouble.reason, trouble.detail)
    if found is None:
        visit.shelf.note(trouble="", trouble_detail="", fetched="yes")
    else:
        visit.shelf.note(trouble=found.reason, trouble_detail=found.detail)
    issues, requests = visit.shelf.count("all"), visit.client.requests - asked
    log.info("%s: %d issues are here, %d requests", visit.repository, issues, requests)
    return found if found and found.everywhere else None


def fingerprint(settings: CollectSettings, shelf: Path) -> str:
    """Return the digest of what is on the shelf of the repositories named."""
    parts = []
    for repository in _repositories(settings):
        with RepositoryShelf(_folder(settings, shelf, repository)) as known:
            parts += [repository, known.fingerprint()]
    return digest_of(*parts)


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:
    """Yield the issues of every repository, and why there is no more: from the shelf alone."""
    for repository in _repositories(settings):
        with RepositoryShelf(_folder(settings, shelf, repository)) as known:
            if trouble := known.trouble:
                yield _dropped(repository, trouble.reason, trouble.detail)
            elif not known.fact("mark"):
                yield _dropped(repository, "no_issues" if known.fact("fetched") else "not_fetched")
            yield from _documents(known, repository, settings)


def _documents(
    known: RepositoryShelf, repository: str, settings: CollectSettings
) -> Iterator[Document | Dropped]:
    hub, place, read = settings.github, _place(known, repository), 0
    for row in known.rows():
        name = place.name_of("", row.number)
        if row.issue is None:
            yield _dropped(name, "pull_request")
        elif hub.state in ("all", row.issue.state) and (
            not hub.max_issues or read < hub.max_issues
        ):
            read += 1
            found = _document(row, row.issue, place, settings)
            if found is None:
                yield _dropped(name, "no_text")
                continue
            names = _duplicates(known, row, row.issue, Asked(hub.duplicates, place, name))
            yield found.model_copy(update={"duplicates": "\n".join(names)})


def _duplicates(known: RepositoryShelf, row: Row, issue: Issue, asked: Asked) -> tuple[str, ...]:
    if not references.looks_like_duplicate(issue, row.comments, asked.how):
        return ()
    trail = known.trail(row.number)
    if trail.canonical:
        return (trail.canonical,)
    return references.duplicates(issue, trail.events, asked.place, asked.name)


def _document(row: Row, issue: Issue, place: Place, settings: CollectSettings) -> Document | None:
    body = text.prose(issue.body, settings.github.code)
    title = text.title(issue.title)
    if not (body or title):
        return None
    return Document(
        id=text_id(body or title),
        text=body or title,
        name=place.name_of("", row.number),
        source=SOURCE,
        url=issue.url if _URL.match(issue.url) else "",
        licence=settings.licence,
        fetched_at=row.fetched_at,
        title=title if body else "",
        group=place.repository,
    )


def _place(known: RepositoryShelf, repository: str) -> Place:
    """Return where issues live: as GitHub spells it, which a rename may have changed."""
    for row in known.rows():
        if row.issue and (match := _URL.match(row.issue.url)):
            return Place(match["repository"], frozenset({repository.lower()}))
    return Place(repository)


def _repositories(settings: CollectSettings) -> list[str]:
    named = {name.lower(): name for name in reversed(settings.github.repositories)}
    if not named:
        message = "collect.github.repositories is empty: name repositories, each as owner/name"
        raise InputError(message)
    return list(reversed(named.values()))


def _folder(settings: CollectSettings, shelf: Path, repository: str) -> Path:
    """Return where a repository is kept: a digest, for its name comes from outside."""
    hub = settings.github
    return shelf / digest_of(hub.base_url.rstrip("/").lower(), repository.lower(), hub.since)


def _dropped(name: str, reason: str, detail: str = "") -> Dropped:
    return Dropped(record_id=name, stage=STAGE, reason=reason, detail=detail)
