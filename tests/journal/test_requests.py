"""A question's way through the journal: never sent twice, paid for once, its answer kept."""

from __future__ import annotations

import pytest

from pipeline.journal.database import Database
from pipeline.journal.entries import Bill, Budget, Claim, Cost, Known, Spent
from pipeline.journal.requests import RequestJournal
from tests.journal.asked import BILL, RESERVE, asking, planned, question, sent, state, summed


def test_a_question_goes_from_planned_over_sent_and_received_to_accepted(
    journal: RequestJournal,
) -> None:
    (key,) = planned(journal)
    assert journal.known([key]) == {key: Known("planned", "", 0, 0, None)}
    assert journal.claim(asking(), key, RESERVE) == Claim(1)
    assert journal.known([key]) == {key: Known("sent", "", 1, 0, None)}
    journal.receive(key, 1, b"an answer")
    assert journal.known([key]) == {key: Known("received", "", 1, 1, b"an answer")}
    journal.judge(key, 1, "accepted", "", BILL)
    assert journal.known([key]) == {key: Known("accepted", "", 1, 1, b"an answer")}


def test_an_answer_that_cannot_be_used_is_kept_with_the_reason(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.receive(key, 1, b"I would rather not.")
    journal.judge(key, 1, "rejected", "refused", BILL)
    assert journal.known([key]) == {key: Known("rejected", "refused", 1, 1, b"I would rather not.")}


def test_a_question_that_the_endpoint_refused_is_asked_again(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.refuse(key, 1, "server_error")
    assert state(journal, key) == ("failed", "server_error")
    assert journal.claim(asking(), key, RESERVE) == Claim(2)
    assert state(journal, key) == ("sent", "")


def test_a_question_without_an_answer_is_uncertain_and_held(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "timed_out")
    assert state(journal, key) == ("uncertain", "timed_out")
    assert journal.claim(asking(), key, RESERVE) == Claim(0, "held")
    assert state(journal, key) == ("uncertain", "timed_out")


def test_an_uncertain_question_is_sent_again_where_the_user_says_so(
    journal: RequestJournal,
) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "timed_out")
    assert journal.claim(asking(resend=True), key, RESERVE) == Claim(2)
    journal.receive(key, 2, b"second")
    journal.judge(key, 2, "accepted", "", BILL)
    assert journal.known([key]) == {key: Known("accepted", "", 2, 2, b"second")}


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("end", ["sent", "received", "accepted", "rejected"])
def test_what_is_on_its_way_or_answered_is_taken(
    journal: RequestJournal, end: str, *, resend: bool
) -> None:
    key = sent(journal)
    if end != "sent":
        journal.receive(key, 1, b"an answer")
    if end in ("accepted", "rejected"):
        journal.judge(key, 1, end, "", BILL)
    journal.enrol("another")
    claim = journal.claim(asking("another", resend=resend), key, RESERVE)
    assert claim == Claim(0, "taken")
    assert journal.spent("job").requests == 1


def test_planning_again_changes_nothing(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.plan([question(), question(1)])
    assert state(journal, key) == ("sent", "")
    assert state(journal, question(1).key) == ("planned", "")


def test_only_what_was_asked_about_is_known(journal: RequestJournal) -> None:
    keys = planned(journal, 5)
    assert set(journal.known([*keys[1:3], "no-such-key"])) == set(keys[1:3])
    assert journal.known([]) == {}


def test_a_late_answer_counts(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.receive(key, 1, b"late")
    journal.judge(key, 1, "accepted", "", BILL)
    assert journal.known([key]) == {key: Known("accepted", "", 1, 1, b"late")}


def test_a_late_answer_ends_the_second_sending_and_both_are_kept(
    journal: RequestJournal, database: Database
) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.claim(asking(resend=True), key, RESERVE)
    journal.receive(key, 1, b"late")
    journal.judge(key, 1, "accepted", "", BILL)
    journal.receive(key, 2, b"<html>")
    journal.judge(key, 2, "uncertain", "html", Bill(None, 0, 0))
    assert journal.known([key]) == {key: Known("accepted", "", 2, 1, b"late")}
    replies = database.execute("select number, reply from attempt order by number")
    assert [(number, bytes(reply)) for number, reply in replies] == [(1, b"late"), (2, b"<html>")]


def test_a_late_answer_counts_after_a_second_sending_was_refused(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.claim(asking(resend=True), key, RESERVE)
    journal.refuse(key, 2, "server_error")
    journal.receive(key, 1, b"late")
    assert journal.known([key]) == {key: Known("received", "", 2, 1, b"late")}


def test_of_two_answers_the_verdict_on_the_first_counts(journal: RequestJournal) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.claim(asking(resend=True), key, RESERVE)
    journal.receive(key, 1, b"late")
    journal.receive(key, 2, b"<html>")
    journal.judge(key, 2, "uncertain", "html", Bill(None, 0, 0))
    assert state(journal, key) == ("received", "")
    journal.judge(key, 1, "accepted", "", BILL)
    assert state(journal, key) == ("accepted", "")


@pytest.mark.parametrize("end", ["refuse", "doubt"])
def test_a_second_sending_that_fails_does_not_undo_a_late_answer(
    journal: RequestJournal, end: str
) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.claim(asking(resend=True), key, RESERVE)
    journal.receive(key, 1, b"late")
    getattr(journal, end)(key, 2, "whatever")
    assert journal.known([key]) == {key: Known("received", "", 2, 1, b"late")}
    journal.judge(key, 1, "accepted", "", BILL)
    assert state(journal, key) == ("accepted", "")


@pytest.mark.parametrize("end", ["refuse", "doubt"])
def test_the_end_of_a_first_sending_does_not_touch_the_second(
    journal: RequestJournal, end: str
) -> None:
    key = sent(journal)
    journal.doubt(key, 1, "runner_ended")
    journal.claim(asking(resend=True), key, RESERVE)
    getattr(journal, end)(key, 1, "late")
    assert state(journal, key) == ("sent", "")


def test_an_answer_that_came_and_says_that_no_work_was_done_frees_the_question(
    journal: RequestJournal,
) -> None:
    key = sent(journal)
    journal.receive(key, 1, b"<html>Please log in</html>")
    journal.refuse(key, 1, "html")
    assert state(journal, key) == ("failed", "html")
    assert journal.spent("job") == Spent(0, 0, 1)
    assert journal.claim(asking(), key, RESERVE) == Claim(2)


@pytest.mark.parametrize(
    "damage",
    [
        "update attempt set reply = ?",
        "update attempt set checksum = ?",
        "update attempt set reply = null, key = ?",
    ],
)
def test_a_damaged_answer_is_noticed_and_held_and_can_be_asked_for_again(
    journal: RequestJournal, database: Database, damage: str
) -> None:
    key = sent(journal)
    journal.receive(key, 1, b"an answer")
    journal.judge(key, 1, "accepted", "", BILL)
    database.execute(damage, ("lost" if "key" in damage else b"answes",))
    assert journal.known([key]) == {key: Known("uncertain", "answer_damaged", 1, 1, None)}
    assert journal.claim(asking(), key, RESERVE) == Claim(0, "held")
    assert journal.claim(asking(resend=True), key, RESERVE) == Claim(2)
    journal.receive(key, 2, b"the same")
    journal.judge(key, 2, "accepted", "", BILL)
    assert journal.known([key]) == {key: Known("accepted", "", 2, 2, b"the same")}


def test_an_answer_under_another_key_or_attempt_is_not_believed(
    journal: RequestJournal, database: Database
) -> None:
    first, second = planned(journal, 2)
    for key in (first, second):
        journal.claim(asking(), key, RESERVE)
        journal.receive(key, 1, f"answer to {key}".encode())
        journal.judge(key, 1, "accepted", "", BILL)
    [(reply, checksum)] = database.execute(
        "select reply, checksum from attempt where key = ?", (first,)
    )
    database.execute(
        "update attempt set reply = ?, checksum = ? where key = ?", (reply, checksum, second)
    )
    assert state(journal, first) == ("accepted", "")
    assert state(journal, second) == ("uncertain", "answer_damaged")


@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000])
def test_any_bytes_come_back_as_they_were(journal: RequestJournal, size: int) -> None:
    key = sent(journal)
    reply = bytes(number * number % 256 for number in range(size))
    journal.receive(key, 1, reply)
    assert journal.known([key])[key].reply == reply


def test_what_was_reserved_is_spent_until_it_is_settled(
    journal: RequestJournal, database: Database
) -> None:
    keys = planned(journal, 5)
    for key in keys:
        journal.claim(asking(), key, RESERVE)
    assert journal.spent("job") == Spent(5_000, 500, 5) == summed(database)
    journal.refuse(keys[0], 1, "server_error")
    journal.doubt(keys[1], 1, "timed_out")
    for key in keys[2:]:
        journal.receive(key, 1, b"an answer")
    journal.judge(keys[2], 1, "accepted", "", BILL)
    journal.judge(keys[3], 1, "rejected", "refused", BILL)
    journal.judge(keys[4], 1, "accepted", "", Bill(None, 0, 0))  # the endpoint did not say
    assert journal.spent("job") == Spent(0 + 1_000 + 300 + 300 + 1_000, 0 + 100 + 40 + 40 + 100, 5)
    assert journal.spent("job") == summed(database)
    assert journal.spent("another") == Spent(0, 0, 0)


def test_an_answer_is_settled_once_however_often_it_is_judged(
    journal: RequestJournal, database: Database
) -> None:
    key = sent(journal)
    journal.receive(key, 1, b"an answer")
    for usd in (300, 400, 500):
        journal.judge(key, 1, "accepted", "", Bill(Cost(usd, 40), 30, 10))
    journal.refuse(key, 1, "late and wrong")
    assert journal.spent("job") == Spent(300, 40, 1) == summed(database)
    assert state(journal, key) == ("accepted", "")


def test_sums_of_billionths_of_a_dollar_are_exact(
    journal: RequestJournal, database: Database
) -> None:
    keys = planned(journal, 200)
    paid = [3 * 10**15 + number**3 for number in range(200)]  # more than a float can count
    for key, usd in zip(keys, paid, strict=True):
        journal.claim(asking(), key, Cost(2 * usd, 7))
        journal.receive(key, 1, b"an answer")
        journal.judge(key, 1, "accepted", "", Bill(Cost(usd, 5), 3, 2))
    assert journal.spent("job") == Spent(sum(paid), 1_000, 200) == summed(database)


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (Budget(), 10),
        (Budget(usd=3_000), 3),
        (Budget(usd=3_999), 3),
        (Budget(tokens=500), 5),
        (Budget(requests=2), 2),
        (Budget(usd=9_000, tokens=700, requests=8), 7),
        (Budget(usd=0), 0),
        (Budget(requests=0), 0),
    ],
)
def test_no_more_is_claimed_than_the_budget_has_room_for(
    journal: RequestJournal, budget: Budget, most: int
) -> None:
    claims = [journal.claim(asking(budget=budget), key, RESERVE) for key in planned(journal, 10)]
    assert claims == [Claim(1)] * most + [Claim(0, "budget")] * (10 - most)


def test_what_is_settled_for_less_makes_room(journal: RequestJournal) -> None:
    terms = asking(budget=Budget(usd=1_000))
    first, second, third = planned(journal, 3)
    journal.claim(terms, first, RESERVE)
    assert journal.claim(terms, second, Cost(700, 1)) == Claim(0, "budget")
    assert state(journal, second) == ("planned", "")
    journal.receive(first, 1, b"an answer")
    journal.judge(first, 1, "accepted", "", BILL)
    assert journal.claim(terms, second, Cost(700, 1)) == Claim(1)
    assert journal.claim(terms, third, Cost(1, 1)) == Claim(0, "budget")
    journal.refuse(second, 1, "server_error")
    assert journal.claim(terms, third, Cost(700, 1)) == Claim(1)


def test_every_job_has_a_budget_of_its_own(journal: RequestJournal) -> None:
    first, second = planned(journal, 2)
    budget = Budget(usd=1_000)
    assert journal.claim(asking(job="one", budget=budget), first, RESERVE) == Claim(1)
    assert journal.claim(asking(job="one", budget=budget), second, RESERVE).refused == "budget"
    assert journal.claim(asking(job="two", budget=budget), second, RESERVE) == Claim(1)
    assert journal.spent("one") == journal.spent("two") == Spent(1_000, 100, 1)
