"""Issues from a server that speaks GitHub's API: pages, changes, limits, refusals, crashes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from datetime import date
from typing import Any

import pytest

from pipeline.config import parse
from pipeline.errors import ArtifactError, InputError, NotEnoughText
from pipeline.records import text_id
from pipeline.sources import github, stage
from pipeline.sources.hub import client as asking
from tests.sources.github.conftest import CHECKOUT, TOKEN, Hub, at, issues


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.01)


def test_every_issue_is_a_document_with_its_provenance_and_pull_requests_are_counted(
    hub: Hub,
) -> None:
    pull = {"number": 3, "updated_at": at(3), "pull_request": {"url": "x"}}
    hub.holds({"Owner/Name": {"issues": [*issues(2), pull]}})
    documents, dropped = hub.collect("owner/name")
    assert list(documents) == ["Owner/Name#1", "Owner/Name#2"]
    one = documents["Owner/Name#1"]
    assert (one.text, one.title, one.group) == ("Body of number 1.", "Title 1", "Owner/Name")
    assert one.url == "https://github.example/Owner/Name/issues/1"
    assert one.id == text_id("Body of number 1.")
    assert one.fetched_at.startswith("20")
    assert dropped == {"Owner/Name#3": "pull_request"}


def test_pages_are_followed_to_the_end(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(250)}})
    documents, _ = hub.collect("a/b")
    assert [document.title for document in documents.values()] == [
        f"Title {n}" for n in range(1, 251)
    ]
    assert len(hub.asked()) == 3


def test_more_issues_than_a_page_that_changed_in_one_second_are_all_there(hub: Hub) -> None:
    held = [one | {"updated_at": at(5)} for one in issues(260)] + issues(40, start=300)
    hub.holds({"a/b": {"issues": held}})
    documents, _ = hub.collect("a/b")
    assert len(documents) == 300


def test_what_has_not_changed_is_not_sent_again(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(230)}, "c/d": {"issues": issues(1)}})
    first, _ = hub.collect("a/b", "c/d")
    before = len(hub.asked())
    again, _ = hub.collect("a/b", "c/d")
    later = hub.asked()[before:]
    assert [(one["status"], one["bytes"]) for one in later] == [(304, 0), (304, 0)]
    assert again == first


def test_only_what_changed_is_fetched_later_and_the_rest_keeps_its_identity(hub: Hub) -> None:
    held = issues(150)
    hub.holds({"a/b": {"issues": held}})
    first, _ = hub.collect("a/b")
    settings = hub.settings("a/b")
    fingerprint = github.fingerprint(settings, hub.shelf)
    held[4] |= {"body": "New words.", "updated_at": at(500)}
    hub.holds({"a/b": {"issues": [*held, *issues(1, start=600)]}})
    later, _ = hub.collect("a/b")
    assert set(later) - set(first) == {"a/b#600"}
    assert {name for name in first if later[name] != first[name]} == {"a/b#5"}
    assert later["a/b#5"].text == "New words."
    assert len(hub.asked()) <= 2
    assert github.fingerprint(settings, hub.shelf) != fingerprint


def test_a_change_that_no_document_shows_leaves_the_fingerprint_alone(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(3)}})
    hub.collect("a/b")
    settings = hub.settings("a/b")
    fingerprint = github.fingerprint(settings, hub.shelf)
    reacted = [one | {"reactions": {"total_count": 7}, "updated_at": at(90)} for one in issues(3)]
    hub.holds({"a/b": {"issues": reacted}})
    hub.collect("a/b")
    assert github.fingerprint(settings, hub.shelf) == fingerprint


def test_reading_needs_no_network(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(3)}})
    first, _ = hub.collect("a/b")
    asked = len(hub.asked())
    assert hub.read(hub.settings("a/b"))[0] == first
    assert len(hub.asked()) == asked


@pytest.mark.parametrize(
    ("repository", "token", "reason", "said"),
    [
        ({}, "good", "not_found_or_private", "may not read it"),
        ({"private": True}, "scopeless", "not_found_or_private", "its scopes: none"),
        ({"private": True}, "", "not_found_or_private", "no token was given"),
        ({"issues_disabled": True}, "good", "issues_disabled", "turned off"),
    ],
)
def test_a_repository_that_gives_nothing_has_a_reason_and_the_others_go_on(  # noqa: PLR0913, PLR0917
    hub: Hub, monkeypatch: pytest.MonkeyPatch, repository: Any, token: str, reason: str, said: str
) -> None:
    held = {"a/b": {"issues": issues(2)}} | ({"c/d": repository} if repository else {})
    hub.holds(held, tokens={"good": "repo", "scopeless": ""})
    monkeypatch.setenv(TOKEN, token)
    documents, dropped = hub.collect("c/d", "a/b")
    assert dropped == {"c/d": reason}
    assert list(documents) == ["a/b#1", "a/b#2"]
    (told,) = [one for one in github.read(hub.settings("c/d"), hub.shelf)]
    assert said in getattr(told, "detail", "")


def test_a_forbidden_repository_says_what_the_token_lacks(hub: Hub) -> None:
    fault = {
        "path": "/repos/c/d", "status": 403, "times": 9,
        "body": {"message": "Resource not accessible by personal access token"},
        "headers": {"x-accepted-github-permissions": "issues=read"},
    }  # fmt: skip
    hub.holds({"a/b": {"issues": issues(1)}, "c/d": {}}, faults=[fault])
    documents, dropped = hub.collect("c/d", "a/b")
    assert dropped == {"c/d": "token_lacks_scope"}
    assert list(documents) == ["a/b#1"]
    (told,) = list(github.read(hub.settings("c/d"), hub.shelf))
    assert "issues=read" in getattr(told, "detail", "")


@pytest.mark.parametrize("token", ["unknown", "two words", "schlüssel"])
def test_a_bad_token_is_a_reason_for_every_repository_and_is_asked_about_once_at_most(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    monkeypatch.setenv(TOKEN, token)
    hub.holds({"a/b": {"issues": issues(1)}, "c/d": {"issues": issues(1)}})
    with caplog.at_level(logging.DEBUG):
        documents, dropped = hub.collect("a/b", "c/d")
    assert dropped == {"a/b": "bad_token", "c/d": "bad_token"}
    assert not documents
    assert len(hub.asked()) <= 1
    assert token not in caplog.text


def test_the_token_goes_out_and_is_neither_logged_nor_stored(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TOKEN, "ghp_verysecret")
    hub.holds({"a/b": {"issues": issues(1)}}, tokens={"ghp_verysecret": "repo"})
    with caplog.at_level(logging.DEBUG):
        hub.collect("a/b", "no/where")
    assert {one["token"] for one in hub.asked()} == {"ghp_verysecret"}
    assert "ghp_verysecret" not in caplog.text
    kept = b"".join(path.read_bytes() for path in hub.shelf.rglob("*") if path.is_file())
    assert b"ghp_verysecret" not in kept


def test_a_page_on_another_host_is_refused_before_the_token_is_sent_there(hub: Hub) -> None:
    link = f'<http://localhost:{hub.port}/repos/a/b/issues?after=1>; rel="next"'
    page = [one | {"html_url": "", "updated_at": at(0)} for one in issues(2)]
    fault = {"path": "/repos/a/b", "status": 200, "body": page, "headers": {"link": link}}
    same_second = fault | {"times": 5}
    hub.holds({"a/b": {}}, faults=[same_second])
    _, dropped = hub.collect("a/b")
    assert dropped == {"a/b": "bad_answer"}
    away = {"location": f"http://localhost:{hub.port}/x"}
    moved = {"path": "/repos/c/d", "status": 302, "headers": away}
    hub.holds({"c/d": {}}, faults=[moved])
    assert hub.collect("c/d")[1] == {"c/d": "bad_answer"}
    assert len(hub.asked()) == 1


def test_a_renamed_repository_is_followed_and_named_as_it_is_now(hub: Hub) -> None:
    second = {"number": 2, "updated_at": at(2), "state": "closed", "state_reason": "duplicate"}
    held = [*issues(1), second]
    said = {"event": "commented", "body": "Duplicate of old/name#1", "author_association": "NONE"}
    timeline = {"2": [said]}
    hub.holds(
        {"old/name": {"moved_to": "new/name"}, "new/name": {"issues": held, "timelines": timeline}}
    )
    documents, dropped = hub.collect("old/name")
    assert list(documents) == ["new/name#1", "new/name#2"]
    assert documents["new/name#2"].duplicates == "new/name#1"
    assert not dropped


LIMITS = {
    "retry-after": {"status": 403, "headers": {"Retry-After": "1"}},
    "primary": {"status": 403, "headers": {"x-ratelimit-remaining": "0"}, "reset_in": 1},
    "primary as 429": {"status": 429, "headers": {"x-ratelimit-remaining": "0"}, "reset_in": 1},
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_rate_limit_is_waited_for_and_nothing_is_asked_before_its_end(
    hub: Hub, limit: str
) -> None:
    hub.holds(
        {"a/b": {"issues": issues(120)}}, faults=[LIMITS[limit] | {"path": "/issues", "after": 1}]
    )
    documents, dropped = hub.collect("a/b")
    assert len(documents) == 120
    assert not dropped
    limited, following = hub.asked()[1:3]
    assert limited["status"] in (403, 429)
    assert following["at"] - limited["at"] >= 1.0


def test_the_last_request_of_an_allowance_is_not_followed_by_one_too_many(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(250)}}, remaining=2, reset_in=2)
    documents, _ = hub.collect("a/b")
    assert len(documents) == 250
    assert [one["status"] for one in hub.asked()] == [200, 200, 200]


def test_a_secondary_limit_without_a_time_is_waited_for_a_minute_then_two(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waited.append)
    body = {"message": "You have exceeded a secondary rate limit."}
    hub.holds({"a/b": {"issues": issues(1)}}, faults=[{"status": 403, "times": 2, "body": body}])
    documents, _ = hub.collect("a/b")
    assert waited == [60.0, 120.0]
    assert len(documents) == 1


def test_a_limit_longer_than_allowed_ends_the_fetch_with_a_reason_and_keeps_what_came(
    hub: Hub,
) -> None:
    hub.holds(
        {"a/b": {"issues": issues(250)}, "c/d": {"issues": issues(1)}}, remaining=2, reset_in=900
    )
    documents, dropped = hub.collect("a/b", "c/d", longest_wait=10)
    assert len(documents) == 198  # the second page begins with the last two of the first one
    assert dropped == {"a/b": "rate_limited", "c/d": "rate_limited"}
    assert len(hub.asked()) == 2
    hub.holds({"a/b": {"issues": issues(250)}, "c/d": {"issues": issues(1)}})
    documents, dropped = hub.collect("a/b", "c/d", longest_wait=10)
    assert len(documents) == 251
    assert not dropped
    assert len(hub.asked()) == 2  # the last page of a/b, and c/d


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "body": {"message": "Server Error"}},
        {"status": 500, "body": {}},
        {"drop": True},
        {"status": 200, "headers": {"content-encoding": "gzip"}},
    ],
    ids=["502", "500", "closed", "garbled"],
)
def test_what_fails_for_a_moment_is_tried_again(hub: Hub, fault: dict[str, Any]) -> None:
    hub.holds({"a/b": {"issues": issues(3)}}, faults=[fault | {"times": 2, "path": "/issues"}])
    documents, dropped = hub.collect("a/b")
    assert len(documents) == 3
    assert not dropped


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 503, "body": {"message": "busy"}}, "server_error"),
        ({"status": 200, "body": {"message": "an object"}}, "bad_answer"),
        ({"status": 200, "body": [{"number": "x", "updated_at": 5}]}, "bad_answer"),
        ({"status": 200, "body": [{"number": 1, "updated_at": "../../etc"}]}, "bad_answer"),
        ({"status": 418, "body": {"message": "tea"}}, "refused"),
        ({"status": 301, "headers": {"location": "/repos/a/b/issues"}}, "refused"),
        ({"status": 301, "headers": {"location": "https://[::g]/x"}}, "bad_answer"),
        ({"status": 301}, "refused"),
    ],
)
def test_what_goes_on_failing_is_a_reason_and_what_is_on_the_shelf_stays_in_use(
    hub: Hub, fault: dict[str, Any], reason: str
) -> None:
    hub.holds({"a/b": {"issues": issues(3)}, "c/d": {"issues": issues(1)}})
    hub.collect("a/b", "c/d")
    faults = [fault | {"path": "/repos/a/b", "times": 50}]
    hub.holds({"a/b": {"issues": issues(9)}, "c/d": {"issues": issues(2)}}, faults=faults)
    documents, dropped = hub.collect("a/b", "c/d")
    assert dropped == {"a/b": reason}
    assert len(documents) == 5
    assert len(hub.asked()) <= 8


def test_a_host_that_cannot_be_reached_is_tried_for_one_repository_only(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(1)}})
    hub.collect("a/b")
    settings = hub.settings("a/b", "c/d", base_url="http://127.0.0.1:9")
    start = time.monotonic()
    github.refresh(settings, hub.shelf)
    documents, dropped = hub.read(settings)
    assert dropped == {"a/b": "unreachable", "c/d": "unreachable"}
    assert not documents
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "base", ["https://a:99999", "https://[::g]", "https://a..b", "http://[::]:1"]
)
def test_an_address_that_is_none_is_refused_or_a_reason(hub: Hub, base: str) -> None:
    try:
        settings = hub.settings("a/b", base_url=base, token="")
    except ValueError as error:
        assert "base_url" in str(error)
        return
    github.refresh(settings, hub.shelf)
    assert hub.read(settings)[1] == {"a/b": "unreachable"}


def test_a_slow_drip_ends_by_the_clock(hub: Hub) -> None:
    fault = {"status": 200, "body": issues(50), "slow": True, "times": 9}
    hub.holds({"a/b": {"issues": issues(1)}}, faults=[fault])
    start = time.monotonic()
    _, dropped = hub.collect("a/b", timeout=0.1)
    assert dropped == {"a/b": "unreachable"}
    assert time.monotonic() - start < 8


def test_an_answer_without_end_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_BYTES", 10_000)
    hub.holds({"a/b": {"issues": issues(100)}})
    _, dropped = hub.collect("a/b")
    assert dropped == {"a/b": "bad_answer"}


def test_no_usable_repository_ends_the_run_and_names_the_reason(hub: Hub, store: Any) -> None:
    hub.holds({})
    settings = hub.settings("no/where")
    config = parse({"domain": "example", "collect": settings.model_dump()})
    github.refresh(settings, stage.shelf("github"))
    with pytest.raises(NotEnoughText, match="not_found_or_private 1"):
        stage.run({}, config, store)


def test_no_repository_at_all_is_an_error(hub: Hub) -> None:
    with pytest.raises(InputError, match=r"collect\.github\.repositories is empty"):
        github.refresh(hub.settings(), hub.shelf)


@pytest.mark.parametrize(
    "name", ["a", "a/b/c", "../b", "a/..", "a/.", "a b/c", "", "a/b#1", "-a/b"]
)
def test_a_name_that_no_repository_has_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(ValueError, match="repositories"):
        hub.settings(name)


def test_the_state_and_the_number_of_issues_can_be_limited(hub: Hub) -> None:
    held = [one | {"state": "closed" if one["number"] % 2 else "open"} for one in issues(300)]
    hub.holds({"a/b": {"issues": held}})
    documents, _ = hub.collect("a/b", state="closed", max_issues=60)
    assert [document.title for document in documents.values()] == [
        f"Title {n}" for n in range(1, 120, 2)
    ]
    assert len(hub.asked()) == 2
    hub.collect("a/b", state="closed", max_issues=60)
    assert len(hub.asked()) == 2


def test_two_domains_with_other_settings_share_a_shelf(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(150)}})
    few, _ = hub.collect("a/b", max_issues=20)
    every, _ = hub.collect("a/b")
    assert len(every) == 150
    assert hub.read(hub.settings("a/b", max_issues=20))[0] == few


def test_since_leaves_out_what_has_not_changed_for_long(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(10)}})
    assert len(hub.collect("a/b", since=at(8))[0]) == 3
    assert len(hub.collect("a/b", since="2024-05-02")[0]) == 0
    assert len(hub.collect("a/b", since=date(2024, 5, 1))[0]) == 10


def test_an_issue_without_a_body_is_its_title_and_one_without_either_is_dropped(hub: Hub) -> None:
    held = [
        {"number": 1, "title": "Only a title", "body": None, "updated_at": at(1)},
        {"number": 2, "title": "", "body": "<!-- template -->", "updated_at": at(2)},
    ]
    hub.holds({"a/b": {"issues": held}})
    documents, dropped = hub.collect("a/b")
    assert (documents["a/b#1"].text, documents["a/b#1"].title) == ("Only a title", "")
    assert dropped == {"a/b#2": "no_text"}


KILLED = """
import sys
from pathlib import Path
from pipeline.sections import CollectSettings
from pipeline.sources import github
settings = CollectSettings.model_validate_json(sys.argv[1])
sys.stdout.write("begins\\n"); sys.stdout.flush()
github.refresh(settings, Path(sys.argv[2]))
"""


def test_a_fetch_that_is_killed_goes_on_from_its_last_page(hub: Hub) -> None:
    faults = [{"path": "/issues", "after": 3, "slow": True, "status": 200, "body": issues(90)}]
    hub.holds({"a/b": {"issues": issues(600)}}, faults=faults)
    settings = hub.settings("a/b")
    command = [sys.executable, "-c", KILLED, settings.model_dump_json(), str(hub.shelf)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while len(hub.asked()) < 4:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    before, _ = hub.read(settings)
    assert len(before) >= 290
    hub.holds({"a/b": {"issues": issues(600)}})
    documents, _ = hub.collect("a/b")
    assert len(documents) == 600
    assert len(hub.asked()) == 4  # what was left, a page at a time


def test_two_fetches_at_a_time_ask_once(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(300)}})
    settings = hub.settings("a/b")
    command = [sys.executable, "-c", KILLED, settings.model_dump_json(), str(hub.shelf)]
    both = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(hub.read(settings)[0]) == 300
    statuses = [one["status"] for one in hub.asked()]
    assert statuses == [200, 200, 200, 200, 304]


def test_a_damaged_shelf_is_an_error_that_says_what_to_delete(hub: Hub) -> None:
    hub.holds({"a/b": {"issues": issues(300)}})
    hub.collect("a/b")
    (path,) = hub.shelf.glob("*/issues.sqlite")
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"issues\.sqlite is damaged .*: delete it"):
        hub.read(hub.settings("a/b"))


def test_a_repository_without_issues_and_one_that_was_never_fetched_have_a_reason(
    hub: Hub,
) -> None:
    hub.holds({"a/b": {"issues": []}})
    assert hub.collect("a/b") == ({}, {"a/b": "no_issues"})
    assert hub.read(hub.settings("c/d")) == ({}, {"c/d": "not_fetched"})


def test_the_token_is_not_sent_over_plain_http(hub: Hub) -> None:
    documents, dropped = hub.collect("a/b", base_url="http://github.example/api/v3")
    assert dropped == {"a/b": "bad_token"}
    assert not documents
