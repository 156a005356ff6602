"""Which issue an issue duplicates: wording, who says it, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.hub.issues import COMMENT, MARKED, UNMARKED, Event, Issue
from pipeline.sources.hub.references import Place, duplicates, looks_like_duplicate, mentions

PLACE = Place("a/b", frozenset({"old/b"}))


@pytest.mark.parametrize(
    ("comment", "names"),
    [
        ("Duplicate of #12", ["a/b#12"]),
        ("duplicate of a/b#12.", ["a/b#12"]),
        ("Closing as a dup of https://github.com/x/y/issues/7#issuecomment-1", ["x/y#7"]),
        ("Dupe of [#3](https://github.com/a/b/issues/3)", ["a/b#3"]),
        ("This duplicates #5.", ["a/b#5"]),
        ("Duplicate of [It crashes](https://github.com/a/b/issues/3)", ["a/b#3"]),
        ("Duplicate, please see the original issue #5", ["a/b#5"]),
        ("Duplicate entries appear, see #5", []),
        ("This issue has been duplicated by #9", ["a/b#9"]),
        ("/duplicate #4", ["a/b#4"]),
        ("**Duplicate of** #4", ["a/b#4"]),
        ("Duplicate of #1, #2 and #3; see also #8", ["a/b#1", "a/b#2", "a/b#3"]),
        ("Duplicate of old/b#6", ["a/b#6"]),
        ("Fixed in #4. Duplicate of #5", ["a/b#5"]),
        ("> Duplicate of #4\n\nNo, it is another thing.", []),
        ("`Duplicate of #4`", []),
        ("```\nDuplicate of #4\n```", []),
        ("This is not a duplicate of #4", []),
        ("It isn't a duplicate of #4", []),
        ("Is this a duplicate of #4?", []),
        ("Might be a duplicate of #4", []),
        ("Fixed by #4", []),
        ("We have duplicate code in #4x and &#39;", []),
        ("See https://github.com/a/b/pull/7", []),
        ("duplicate of #" + "9" * 30, []),
    ],
)
def test_what_a_comment_says_to_be_duplicated(comment: str, names: list[str]) -> None:
    found = [one.name for one in mentions(comment, PLACE) if one.sure == "worded"]
    assert list(dict.fromkeys(found)) == names


def by(text: str, association: str = "MEMBER") -> Event:
    return Event(kind=COMMENT, body=text, association=association)


CLOSED = Issue(title="T", state="closed")
AS_DUPLICATE = Issue(title="T", state="closed", state_reason="duplicate")
LABELLED = Issue(title="T", state="open", labels=("bug", "type: duplicate"))


@pytest.mark.parametrize(
    ("issue", "events", "names"),
    [
        pytest.param(CLOSED, [by("Duplicate of #1")], ("a/b#1",), id="maintainer"),
        pytest.param(CLOSED, [by("Duplicate of #1", "NONE")], (), id="anybody"),
        pytest.param(AS_DUPLICATE, [by("Duplicate of #1", "NONE")], ("a/b#1",), id="marked"),
        pytest.param(LABELLED, [by("Duplicate of #1", "NONE")], ("a/b#1",), id="labelled"),
        pytest.param(AS_DUPLICATE, [by("Maybe a dup of #1")], ("a/b#1",), id="hedged and marked"),
        pytest.param(CLOSED, [by("Maybe a dup of #1")], (), id="hedged"),
        pytest.param(AS_DUPLICATE, [by("Closing in favor of #1")], ("a/b#1",), id="in favour"),
        pytest.param(CLOSED, [by("Closing in favor of #1")], (), id="in favour, not marked"),
        pytest.param(AS_DUPLICATE, [by("#1")], ("a/b#1",), id="the only reference"),
        pytest.param(AS_DUPLICATE, [by("#1 or #2")], (), id="two references"),
        pytest.param(AS_DUPLICATE, [by("not a dup of #1")], (), id="the only one, denied"),
        pytest.param(AS_DUPLICATE, [by("#1", "NONE")], (), id="the only one, by anybody"),
        pytest.param(
            CLOSED, [by("Duplicate of #1"), by("Sorry, duplicate of #2")], ("a/b#2",), id="the last"
        ),
        pytest.param(
            CLOSED, [by("See #2"), Event(kind=MARKED)], ("a/b#2",), id="marked by an event"
        ),
        pytest.param(
            LABELLED, [by("Duplicate of #1"), Event(kind=MARKED), Event(kind=UNMARKED)], (),
            id="withdrawn",
        ),
        pytest.param(AS_DUPLICATE, [by("Duplicate of #7")], (), id="of itself"),
        pytest.param(AS_DUPLICATE, [], (), id="no comment"),
        pytest.param(
            AS_DUPLICATE.model_copy(update={"body": "dup of #3"}), [], ("a/b#3",), id="by its body"
        ),
        pytest.param(
            CLOSED.model_copy(update={"body": "dup of #3", "association": "OWNER"}), [],
            ("a/b#3",), id="by its body, of a maintainer",
        ),
        pytest.param(
            Issue(title="T", state="open", state_reason="reopened", labels=("duplicate",)),
            [by("Duplicate of #1")], (), id="reopened",
        ),
    ],
)  # fmt: skip
def test_the_best_evidence_decides(issue: Issue, events: list[Event], names: Any) -> None:
    assert duplicates(issue, events, PLACE, "a/b#7") == names


@pytest.mark.parametrize(
    ("label", "marks"),
    [
        ("duplicate", True), ("Duplicate", True), ("kind/duplicate", True), ("dup", True),
        ("resolution: dupe", True), ("possible-duplicate", False), ("not a duplicate", False),
        ("duplicate?", False), ("duplication", False), ("dupsko", False), ("bug", False),
    ],
)  # fmt: skip
def test_a_label_marks_a_duplicate_only_where_it_says_so(label: str, *, marks: bool) -> None:
    assert Issue(title="T", labels=("bug", label)).marked is marks


def test_how_far_to_look_is_a_setting() -> None:
    told = CLOSED.model_copy(update={"body": "Duplicate of #3"})
    reopened = Issue(title="T", state_reason="reopened", labels=("duplicate",))
    for issue, comments, wanted in [
        (AS_DUPLICATE, 0, {"marked", "closed"}),
        (LABELLED, 0, {"marked", "closed"}),
        (told, 0, {"marked", "closed"}),
        (CLOSED, 2, {"closed"}),
        (CLOSED, 0, set()),
        (Issue(title="T"), 2, set()),
        (reopened, 2, set()),
    ]:
        ways = ("none", "marked", "closed")
        assert {how for how in ways if looks_like_duplicate(issue, comments, how)} == wanted


WORDS = st.sampled_from(
    ["duplicate", "of", "#1", "not", "a/b#2", "https://github.com/a/b/issues/3", ">", "`", "```",
     "\n", " ", ".", "?", "and", "[", "(", "\u2028", "#", "/", "dup", "é"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=60))
def test_any_text_has_references_to_whole_numbers_only(words: list[str]) -> None:
    for one in mentions(" ".join(words), PLACE):
        repository, _, number = one.name.partition("#")
        assert repository == "a/b"
        assert number in {"1", "2", "3"}


@given(st.text(max_size=300), st.integers(1, 999_999))
def test_a_plain_sentence_is_understood_after_any_text(before: str, number: int) -> None:
    kept = before.replace("`", "").replace("~", "")
    found = mentions(f"{kept}\n\nDuplicate of #{number}", PLACE)
    assert found[-1] == (f"a/b#{number}", "worded")
