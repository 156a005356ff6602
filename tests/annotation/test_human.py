"""The people's annotator: grades are kept, found by every later run, and never made up."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from pipeline.annotation import human
from pipeline.annotation.human import Human, Kept
from pipeline.annotation.reviewed import Answer
from pipeline.records import pair_id
from pipeline.settings import Home

PAIRS = [("Open a file.", "Open the file."), ("Open a file.", "Sort a list."), ("a", "b")]
IDS = [pair_id(*pair) for pair in PAIRS]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def answer(number: int, score: float, reviewer: str = "Ada", note: str = "") -> Answer:
    return Answer(pair_id=IDS[number], reviewer=reviewer, score=score, note=note)


def test_before_any_review_no_pair_has_a_score_and_nothing_is_written(home: Home) -> None:
    opinions = Human(home).annotate(PAIRS)
    assert all(math.isnan(score) for score in opinions.scores)
    assert opinions.reasons == ["not_reviewed"] * 3
    assert human.grades(home) == {}
    assert not home.root.exists()


def test_a_reviewed_pair_has_its_grade_in_either_order_of_its_texts(home: Home) -> None:
    human.keep([answer(0, 0.8), answer(2, 0.0)], home)
    first, second = PAIRS[0]
    opinions = Human(home).annotate([PAIRS[1], (second, first.upper()), PAIRS[2]])
    assert math.isnan(opinions.scores[0])
    assert opinions.scores[1:] == [0.8, 0.0]
    assert opinions.reasons == ["not_reviewed", "", ""]
    assert opinions.reused == 3


def test_of_several_reviewers_the_mean_counts_and_each_can_be_asked_alone(home: Home) -> None:
    human.keep([answer(0, 0.8), answer(0, 0.2, "Bo"), answer(1, 0.4, "Bo")], home)
    assert Human(home).annotate(PAIRS).scores[:2] == pytest.approx([0.5, 0.4])
    one = Human(home, "Ada")
    assert (one.name, one.annotate(PAIRS).scores[0]) == ("human:Ada", 0.8)
    assert math.isnan(one.annotate(PAIRS).scores[1])


def test_importing_says_what_it_changed_and_the_last_grade_counts(home: Home) -> None:
    assert human.keep([answer(0, 0.8), answer(1, 0.2)], home) == Kept(2, 0, 0)
    assert human.keep([answer(0, 0.8), answer(1, 0.4), answer(2, 1.0)], home) == Kept(1, 1, 1)
    assert human.grades(home) == {"Ada": {IDS[0]: 0.8, IDS[1]: 0.4, IDS[2]: 1.0}}
    assert human.keep([], home) == Kept(0, 0, 0)


def test_the_identity_is_that_of_the_grades(home: Home) -> None:
    before = human.identity(home)
    human.keep([answer(0, 0.8)], home)
    first = human.identity(home)
    assert Human(home).identity == first != before
    human.keep([answer(0, 0.8, note="again")], home)
    assert human.identity(home) == first
    human.keep([answer(1, 0.2, "Bo")], home)
    assert human.identity(home) != first
    assert human.identity(home, "Ada") == Human(home, "Ada").identity == first


def test_a_damaged_grade_is_left_out_and_told(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    human.keep([answer(0, 0.8), answer(1, 0.2)], home)
    connection = apsw.Connection(str(home.journal / "human.sqlite"))
    broken = b'{"note": "", "score": 0.9}'
    connection.execute("update entry set value = ? where key = ?", (broken, IDS[0]))
    connection.close()
    with caplog.at_level(logging.WARNING):
        assert human.grades(home) == {"Ada": {IDS[1]: 0.2}}
    assert "1 grades of Ada are damaged: import the reviewed file again" in caplog.text
    assert human.keep([answer(0, 0.8)], home) == Kept(1, 0, 0)
    assert human.grades(home) == {"Ada": {IDS[0]: 0.8, IDS[1]: 0.2}}


def test_files_imported_at_once_all_count(home: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.annotation import human; "
        "from pipeline.annotation.reviewed import Answer; from pipeline.settings import Home; "
        "n = sys.argv[2]; "
        "[human.keep([Answer(pair_id=n + str(i), reviewer='Ada', score=0.5), "
        "Answer(pair_id='x', reviewer=n, score=1)], Home(Path(sys.argv[1]))) for i in range(5)]"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(home.root), name]) for name in "abc"
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    found = human.grades(home)
    assert sorted(found) == ["Ada", "a", "b", "c"]
    assert len(found["Ada"]) == 15
