"""Bringing a repository's shelf up to date: its list of issues, then what they duplicate.

The list is read by its time of change, oldest first, each page asked for from where the last one
ended. So an issue that changes meanwhile moves to the end and is met there, nothing is skipped, a
killed fetch resumes at its last page, and a later one asks for what changed since. GitHub answers
that last question with "304 Not Modified" and no body where nothing did.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pipeline.progress import Progress
from pipeline.sections import GitHubSettings
from pipeline.sources.hub import references
from pipeline.sources.hub.client import Client
from pipeline.sources.hub.issues import Event, parse_events, parse_issues
from pipeline.sources.hub.limits import Trouble
from pipeline.sources.hub.shelf import RepositoryShelf, Tail, Trail

log = logging.getLogger(__name__)

PER_PAGE: Final = 100  # the most that GitHub gives
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_GONE: Final = frozenset({"not_found_or_private", "issues_disabled"})


class Visit(NamedTuple):
    """What it takes to bring one repository up to date."""

    client: Client
    shelf: RepositoryShelf
    repository: str
    settings: GitHubSettings


def fetch(visit: Visit, progress: Progress) -> None:
    """Bring the shelf of a repository up to date.

    Raises:
        Trouble: when that is not possible; what arrived before is on the shelf.
    """
    _fetch_list(visit, progress)
    due = list(_due(visit))
    if visit.client.token:
        due = _ask_canonical(visit, due)
    for number, seen in due:
        _fetch_trail(visit, number, seen)
        progress.advance(0, asked_about=f"#{number}")


def _fetch_list(visit: Visit, progress: Progress) -> None:
    shelf, settings = visit.shelf, visit.settings
    url, etag = shelf.tail
    mark = shelf.fact("mark")
    url = url or _list_url(visit, _just_before(mark) or _as_time(settings.since))
    while not settings.max_issues or shelf.count(settings.state) < settings.max_issues:
        answer = visit.client.get(url, etag)
        if answer.status == 304:
            return
        page = parse_issues(answer.value)
        newest = max([mark, *(one.updated_at for one in page)])
        tail = Tail() if answer.next else Tail(url, answer.headers.get("etag", ""))
        if "after=" in tail.url:  # a cursor may not live until the next run
            tail = Tail()
        changed = shelf.keep_page(page, newest, tail)
        progress.advance(changed, repository=visit.repository)
        if not answer.next:
            return
        # Where a whole page changed in one second, as robots do, GitHub's link leads on.
        url = _list_url(visit, _just_before(newest)) if newest > mark else answer.next
        mark, etag = newest, ""


def _list_url(visit: Visit, since: str) -> str:
    asked = {"state": "all", "sort": "updated", "direction": "asc", "per_page": str(PER_PAGE)}
    asked |= {"since": since} if since else {}
    return f"{visit.client.base}/repos/{visit.repository}/issues?{urlencode(asked)}"


def _just_before(mark: str) -> str:
    """Return a second earlier, so that it does not matter whether GitHub counts ``since`` in."""
    if not mark:
        return ""
    return (datetime.strptime(mark, _TIME) - timedelta(seconds=1)).strftime(_TIME)


def _as_time(since: str) -> str:
    return f"{since}T00:00:00Z" if len(since) == len("2024-01-31") else since


def _due(visit: Visit) -> Iterator[tuple[int, str]]:
    """Yield the issues to ask about that changed since they were asked about last."""
    for row in visit.shelf.rows():
        wanted = row.issue and references.looks_like_duplicate(
            row.issue, row.comments, visit.settings.duplicates
        )
        if wanted and visit.shelf.trail(row.number).seen != row.updated_at:
            yield row.number, row.updated_at


def _fetch_trail(visit: Visit, number: int, seen: str) -> None:
    known = visit.shelf.trail(number)
    url = f"{visit.client.base}/repos/{visit.repository}/issues/{number}/timeline"
    url = f"{url}?per_page={PER_PAGE}"
    events: list[Event] = []
    etags: list[str] = []
    try:
        while url:
            answer = visit.client.get(url, "" if etags else known.etag)
            if answer.status == 304:
                visit.shelf.keep_trail(number, known._replace(seen=seen))
                return
            events += parse_events(answer.value)
            etags.append(answer.headers.get("etag", ""))
            url = answer.next
    except Trouble as trouble:
        if trouble.reason not in _GONE:  # the list is there, so the issue was moved or deleted
            raise
    etag = etags[0] if len(etags) == 1 else ""  # that of a first page says nothing of the others
    visit.shelf.keep_trail(number, Trail(seen, etag, "", tuple(events)))


def _ask_canonical(visit: Visit, due: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Ask the GraphQL API, a hundred issues at a time; return those that it does not know of."""
    left: list[tuple[int, str]] = []
    for start in range(0, len(due), PER_PAGE):
        group = due[start : start + PER_PAGE]
        try:
            found = _canonical(visit, [number for number, _ in group])
        except Trouble as trouble:
            if trouble.everywhere:
                raise
            log.info("GitHub's GraphQL API: %s; reading comments instead", trouble.detail)
            found = {}
        for number, seen in group:
            if number in found:
                visit.shelf.keep_trail(number, Trail(seen, "", found[number]))
            else:
                left.append((number, seen))
    return left


def _canonical(visit: Visit, numbers: Sequence[int]) -> dict[int, str]:
    parts = " ".join(
        f"i{number}: issue(number: {number}) "
        "{ duplicateOf { number repository { nameWithOwner } } }"
        for number in numbers
    )
    owner, _, name = visit.repository.partition("/")
    query = "query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) "
    body = {
        "query": f"{query}{{ {parts} }} }}",
        "variables": {"owner": owner, "name": name},
    }
    answer = visit.client.post(f"{visit.client.base.removesuffix('/v3')}/graphql", body)
    nodes = _inside(answer.value, "data", "repository")
    found = {}
    for number in numbers:
        node = _inside(nodes, f"i{number}", "duplicateOf")
        repository = _inside(node, "repository").get("nameWithOwner")
        if isinstance(repository, str) and isinstance(node.get("number"), int):
            found[number] = f"{repository}#{node['number']}"
    return found


def _inside(value: object, *path: str) -> Mapping[str, Any]:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
