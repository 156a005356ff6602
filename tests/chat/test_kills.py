"""No answer that arrived is lost and none is billed twice, whenever a process is killed.

The whole proof, with ten times as many kills, is `benchmarks/annotation_kills.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.journal.database import connect
from tests.chat.auditing import CONCURRENCY, Found, Place, acknowledgement, audit, label
from tests.chat.killing import FAILPOINTS
from tests.endpoint.fixtures import Endpoint
from tests.journal.cluster import binaries

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="kills forked processes"),
    pytest.mark.timeout(600),
]

ROOT = Path(__file__).resolve().parents[2]
BAD = ("open", "lost", "unlisted", "twice_unlisted", "underpaid")
DATABASES = [
    "",
    pytest.param(
        "--postgresql",
        marks=pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed"),
    ),
]


def outcome(program: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", f"tests.chat.{program}", *(str(one) for one in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def assert_nothing_is_wrong(found: dict[str, Any]) -> None:
    assert {name: found[name] for name in BAD} == dict.fromkeys(BAD, 0)


def test_twenty_kills_lose_no_answer_and_nothing_is_billed_twice() -> None:
    found = outcome("killing", "hold", 20)
    assert_nothing_is_wrong(found)
    assert found["twice"] == 0
    assert found["kills"] >= 20
    assert 0 < found["uncertain"] == found["listed"]
    assert found["most_listed"] <= CONCURRENCY


def test_a_kill_has_no_more_sent_again_than_were_on_their_way_and_all_were_listed() -> None:
    found = outcome("killing", "resend", 10)
    assert_nothing_is_wrong(found)
    assert found["uncertain"] == 0  # every pair has its score
    assert 0 < found["again"] <= found["listed"] <= CONCURRENCY * found["kills"]


@pytest.mark.parametrize("database", DATABASES)
def test_an_end_at_any_step_loses_no_answer_and_nothing_is_billed_twice(database: str) -> None:
    found = outcome("killing", "failpoints", len(FAILPOINTS), database)
    assert_nothing_is_wrong(found)
    assert (found["twice"], found["trials"]) == (0, 8)


@pytest.mark.parametrize("database", DATABASES)
def test_two_processes_on_one_journal_ask_everything_once_and_both_get_all(database: str) -> None:
    found = outcome("killing", "shared", 3, database)
    assert_nothing_is_wrong(found)
    assert (found["twice"], found["uncertain"]) == (0, 0)


def test_a_process_that_slept_past_its_lease_has_nothing_billed_twice() -> None:
    found = outcome("killing", "stopped", 3)
    assert_nothing_is_wrong(found)
    assert found["twice"] == 0
    assert found["listed"] > 0  # it was taken for dead


def test_no_budget_is_exceeded_in_fifty_runs() -> None:
    found = outcome("spending", 46, 4)
    assert (found["exceeded"], found["overbooked"]) == (0, 0)
    assert found["runs"] == 50
    assert found["short"] > 10  # the budget did end runs


@pytest.fixture
def labelled(endpoint: Endpoint, tmp_path: Path) -> Place:
    """A journal in which all is well."""
    place = Place(str(tmp_path / "requests.sqlite"), tmp_path, endpoint)
    assert label(place, 20) == 20
    with closing(connect(place.journal)) as database:
        rows = database.execute("select key, number, reply from attempt")
    place.acknowledged.write_text("".join(acknowledgement(*row) for row in rows))
    assert audit(place, 20) == Found(answered=20)
    return place


@pytest.mark.parametrize(
    ("damage", "noticed"),
    [
        ("update attempt set reply = null", "lost"),
        ("update attempt set reply = x'00'", "lost"),
        ("update question set state = 'planned', answered = 0", "open"),
        ("update question set state = 'planned', answered = 0", "unlisted"),
        ("update job set usd = usd / 2", "underpaid"),
    ],
)
def test_the_audit_would_notice(labelled: Place, damage: str, noticed: str) -> None:
    with closing(connect(labelled.journal)) as database:
        database.execute(damage)
    assert getattr(audit(labelled, 20), noticed) > 0


def test_the_audit_would_notice_a_second_bill(labelled: Place) -> None:
    again = labelled._replace(journal=str(labelled.folder / "another.sqlite"))
    assert label(again, 20) == 20
    found = audit(again, 20)
    assert (found.twice, found.again, found.twice_unlisted) == (20, 20, 20)
