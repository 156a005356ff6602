"""Duplicates end to end: what is asked about, of which API, and what stands on the documents."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.sources import github
from tests.sources.github.conftest import TOKEN, Hub, at, issues


def duplicate(number: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number, "title": f"Title {number}", "body": f"Body of {number}.", "comments": 1,
        "state": "closed", "state_reason": "duplicate", "updated_at": at(number), **more,
    }  # fmt: skip


def said(text: str, association: str = "MEMBER") -> list[dict[str, Any]]:
    return [{"event": "labeled", "label": {"name": "x"}},
            {"event": "commented", "body": text, "author_association": association}]  # fmt: skip


def paths(hub: Hub) -> list[str]:
    return [one["path"] for one in hub.asked()]


def test_comments_name_what_an_issue_duplicates(hub: Hub) -> None:
    timelines = {"11": said("Duplicate of #1"), "12": said("dup of c/d#3")}
    held = [*issues(3), duplicate(11), duplicate(12)]
    hub.holds({"a/b": {"issues": held, "timelines": timelines}})
    documents, _ = hub.collect("a/b")
    found = {name: one.duplicates for name, one in documents.items() if one.duplicates}
    assert found == {"a/b#11": "a/b#1", "a/b#12": "c/d#3"}


def test_only_issues_that_look_like_duplicates_are_asked_about(hub: Hub) -> None:
    timelines = {"11": said("Duplicate of #1"), "12": said("Duplicate of #2")}
    plain = duplicate(12, state_reason="completed")
    hub.holds({"a/b": {"issues": [*issues(9), duplicate(11), plain], "timelines": timelines}})
    documents, _ = hub.collect("a/b")
    assert [path for path in paths(hub) if "timeline" in path] == ["/repos/a/b/issues/11/timeline"]
    assert not documents["a/b#12"].duplicates
    documents, _ = hub.collect("a/b", duplicates="closed")
    assert documents["a/b#12"].duplicates == "a/b#2"
    assert hub.collect("a/b", duplicates="none")[0]["a/b#11"].duplicates == ""


def test_an_unchanged_issue_is_not_asked_about_again_and_a_changed_one_is(hub: Hub) -> None:
    repository = {"issues": [duplicate(11)], "timelines": {"11": said("Hm.")}}
    hub.holds({"a/b": repository})
    hub.collect("a/b")
    settings = hub.settings("a/b")
    fingerprint = github.fingerprint(settings, hub.shelf)
    before = len(hub.asked())
    hub.collect("a/b")
    assert [one["status"] for one in hub.asked()[before:]] == [304]
    hub.holds(
        {"a/b": {"issues": [duplicate(11, updated_at=at(99))], "timelines": {"11": said("Hm.")}}}
    )
    hub.collect("a/b")
    asked = [one for one in hub.asked() if "timeline" in one["path"]]
    assert [(one["status"], one["bytes"]) for one in asked] == [(304, 0)]
    assert github.fingerprint(settings, hub.shelf) == fingerprint
    timelines = {"11": [*said("Hm."), *said("Duplicate of #4")]}
    hub.holds({"a/b": {"issues": [duplicate(11, updated_at=at(199))], "timelines": timelines}})
    documents, _ = hub.collect("a/b")
    assert documents["a/b#11"].duplicates == "a/b#4"
    assert github.fingerprint(settings, hub.shelf) != fingerprint


def test_a_long_timeline_is_read_to_its_end(hub: Hub) -> None:
    timeline = said("Hm.") * 120 + said("Duplicate of #4")
    hub.holds({"a/b": {"issues": [duplicate(11)], "timelines": {"11": timeline}}})
    documents, _ = hub.collect("a/b")
    assert documents["a/b#11"].duplicates == "a/b#4"


def test_graphql_says_what_rest_does_not_a_hundred_at_a_time(hub: Hub) -> None:
    held = [duplicate(n) for n in range(1, 151)]
    canonical = {str(n): "a/b#1000" for n in range(1, 150)}
    timelines = {"150": said("Duplicate of #5")}
    hub.holds({"a/b": {"issues": held, "canonical": canonical, "timelines": timelines}})
    documents, _ = hub.collect("a/b")
    assert documents["a/b#7"].duplicates == "a/b#1000"
    assert documents["a/b#150"].duplicates == "a/b#5"
    assert paths(hub).count("/graphql") == 2
    assert len([path for path in paths(hub) if "timeline" in path]) == 1


def test_without_a_token_graphql_is_not_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN)
    repository = {
        "issues": [duplicate(11)], "canonical": {"11": "a/b#9"},
        "timelines": {"11": said("Duplicate of #1")},
    }  # fmt: skip
    hub.holds({"a/b": repository})
    documents, _ = hub.collect("a/b")
    assert documents["a/b#11"].duplicates == "a/b#1"
    assert "/graphql" not in paths(hub)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "times": 9},
        {"status": 404, "body": {"message": "Not Found"}},
        {"status": 200, "body": ["nonsense"]},
        {"status": 200, "body": {"data": {"repository": {"i11": {"duplicateOf": "x"}}}}},
    ],
)
def test_where_graphql_does_not_answer_the_comments_are_read(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr("pipeline.sources.hub.client.FIRST_PAUSE", 0.01)
    repository = {"issues": [duplicate(11)], "timelines": {"11": said("Duplicate of #1")}}
    hub.holds({"a/b": repository}, faults=[fault | {"path": "/graphql"}])
    documents, dropped = hub.collect("a/b")
    assert documents["a/b#11"].duplicates == "a/b#1"
    assert not dropped


def test_enterprise_servers_keep_graphql_beside_rest(hub: Hub) -> None:
    repository = {"issues": [duplicate(11)], "canonical": {"11": "a/b#9"}}
    hub.holds({"a/b": repository})
    documents, _ = hub.collect("a/b", base_url=f"{hub.url}/api/v3")
    assert documents["a/b#11"].duplicates == "a/b#9"
    assert "/api/graphql" in paths(hub)


def test_an_issue_that_was_deleted_meanwhile_does_not_stop_the_others(hub: Hub) -> None:
    timelines = {"12": said("Duplicate of #1")}
    held = [duplicate(11), duplicate(12)]
    hub.holds({"a/b": {"issues": held, "gone": ["11"], "timelines": timelines}})
    documents, dropped = hub.collect("a/b")
    assert documents["a/b#12"].duplicates == "a/b#1"
    assert not dropped
