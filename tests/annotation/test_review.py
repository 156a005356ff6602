"""Files for reviewers: what goes out, what may come back, and that nothing is lost between."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.annotation.review import (
    COLUMNS,
    SIMILARITY,
    ReviewRow,
    Scale,
    as_csv,
    as_jsonl,
    gathered,
    guarded,
    unguarded,
    write_review,
)
from pipeline.annotation.review_page import marked
from pipeline.annotation.reviewed import Asked, Review, describe, read_review
from pipeline.errors import InputError
from pipeline.records import normalised, pair_id

NASTY = st.text(st.sampled_from("=+-@\uff1d\uff0b'\" ;,\t\r\nab1#{}<")) | st.text(max_size=20)
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NAMES = st.sampled_from(["Ada", "Jürgen", "=cmd|x", 'O\'Neil; "B"'])


def row(first: str, second: str, **fields: object) -> ReviewRow:
    values = {"pair_id": pair_id(first, second), "sentence1": first, "sentence2": second}
    return ReviewRow.model_validate(values | fields)


ROWS = [
    row("Open a file.", "Open the file.", scores={"one": 0.91, "two": 0.2}, spread=0.71),
    row("Read; then close", "=SUM(A1:A9)", scores={"one": None, "two": 0.4}),
    row('Say "no"\nthen, stop', "- an item", scores={"one": 0.5, "two": 0.5}),
    row("größer\u2028weiter", "打开文件", scores={"one": 0.0, "two": 1.0}, spread=1.0),
]
IDS = [entry.pair_id for entry in ROWS]
ASKED = Asked(IDS, reviewer="Ada")
GRADES = (5.0, 0.0, 3.0, 2.5)
GRADED = [
    entry.model_copy(update={"score": grade, "note": f"note {grade}"})
    for entry, grade in zip(ROWS, GRADES, strict=True)
]


def read(path: Path, content: str | bytes, asked: Asked = ASKED) -> Review:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_review(path, asked)


def table(*rows: list[str], header: tuple[str, ...] = COLUMNS, separator: str = ",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows([list(header), *rows])
    return stream.getvalue()


def cells(entry: ReviewRow, score: str, note: str = "", reviewer: str = "") -> list[str]:
    texts = [guarded(entry.sentence1), guarded(entry.sentence2)]
    return ["#" + entry.pair_id, *texts, score, note, reviewer]


# What goes out


def test_a_row_must_carry_the_id_of_its_texts() -> None:
    with pytest.raises(ValidationError, match="not the id of the texts"):
        ReviewRow(pair_id="0" * 16, sentence1="a", sentence2="b")


def test_a_grade_given_before_must_be_on_the_scale(tmp_path: Path) -> None:
    graded = [ROWS[0].model_copy(update={"score": 3.0})]
    with pytest.raises(ValueError, match="grades above 1"):
        write_review(graded, tmp_path, Scale(question="Same?", grades=("no", "yes")))
    assert list(tmp_path.iterdir()) == []


def test_the_files_hold_the_rows_and_hide_what_annotators_said(tmp_path: Path) -> None:
    files = write_review(ROWS, tmp_path)
    assert files.table.read_bytes().startswith(b"\xef\xbb\xbf")
    lines = list(csv.DictReader(io.StringIO(files.table.read_text("utf-8-sig"), newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert [unguarded(line["sentence2"]) for line in lines] == [r.sentence2 for r in ROWS]
    objects = [json.loads(line) for line in files.lines.read_text().split("\n")[:-1]]
    assert [entry["pair_id"] for entry in objects] == IDS
    assert not any({"scores", "spread"} & entry.keys() for entry in objects)


def test_the_files_show_what_annotators_said_when_asked_to(tmp_path: Path) -> None:
    files = write_review(ROWS, tmp_path, show_scores=True)
    line = next(csv.DictReader(io.StringIO(files.table.read_text("utf-8-sig"))))
    assert (line["spread"], line["said: one"], line["said: two"]) == ("0.71", "0.91", "0.2")
    assert json.loads(files.lines.read_text().split("\n")[0])["scores"] == ROWS[0].scores


def test_rows_are_gathered_from_one_opinion_each() -> None:
    flat = [
        {**entry.model_dump(include={"pair_id", "sentence1", "sentence2", "spread"}),
         "annotator": name, "score": score}
        for entry in ROWS for name, score in entry.scores.items()
    ]  # fmt: skip
    assert gathered(flat) == ROWS


@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=3))
def test_no_cell_is_a_formula_wherever_a_spreadsheet_splits(texts: list[tuple[str, str]]) -> None:
    content = as_csv([row(first, second, note=second, reviewer=first) for first, second in texts])
    for separator in ",;\t":
        for line in csv.reader(io.StringIO(content, newline=""), delimiter=separator):
            for cell in line:
                assert not cell.lstrip(' "\t\r\n').startswith(FORMULA), (separator, cell)
                assert separator != "," or not cell.lstrip(' "').startswith(("\t", "\r", "\n"))


@given(NASTY)
def test_a_guarded_text_comes_back_unharmed(text: str) -> None:
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("cell", ["'quoted'", "it's", "'tis; 'twas", "a 'b", ""])
def test_what_a_person_typed_is_not_taken_for_a_guard(cell: str) -> None:
    assert unguarded(cell) == cell


def test_ids_cannot_be_taken_for_numbers() -> None:
    ids = [line[0] for line in csv.reader(io.StringIO(as_csv(ROWS), newline=""))][1:]
    assert ids == ["#" + identity for identity in IDS]


# The page as text; test_review_page.py runs it


def test_the_policy_of_the_page_admits_its_own_script_and_style_alone(tmp_path: Path) -> None:
    page = write_review(ROWS, tmp_path).page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    for tag, rule in (('<script type="module">', "script-src"), ("<style>", "style-src")):
        body = page.split(tag)[1].split("</")[0]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert "unsafe" not in policy[1]
    assert not re.search(r"https?://|//[a-z]+\.", page)


def test_texts_titles_and_rubrics_are_escaped_in_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>\u2028{{ 7 * 7 }}<!--"
    scale = Scale(question=evil, grades=(evil, "b"))
    page = write_review([row(evil, "x")], tmp_path, scale, title=evil).page.read_text()
    assert "<script>" not in page
    assert page.count("</script>") == 2
    assert "<!--" not in page
    assert "\u2028" not in page.split('type="application/json">')[1].split("</script>")[0]
    assert "{{ 7 * 7 }}" in page


def joined(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalised(text)))


@given(NASTY | st.text("ab 。文字."), NASTY | st.text("ab 。文字."))
def test_marking_keeps_every_character(first: str, second: str) -> None:
    for text, parts in zip((first, second), marked(first, second), strict=True):
        assert "".join(parts) == text


@given(st.lists(st.sampled_from("abcdef"), max_size=7), st.lists(st.sampled_from("abcdef")))
def test_what_is_not_marked_is_the_same_in_both_texts(left: list[str], right: list[str]) -> None:
    first, second = marked(" ".join(left), " ".join(right))
    if len(first) > 1 or len(second) > 1:
        assert joined(" ".join(first[::2])) == joined(" ".join(second[::2]))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Open a file.", "open THE file", (["Open ", "a", " file."], ["open ", "THE", " file"])),
        ("Same.", "same!", (["Same."], ["same!"])),
        ("打开文件。", "打开套接字。", (["打开", "文件", "。"], ["打开", "套接字", "。"])),
        ("Read one big line", "Read it", (["Read ", "one big line"], ["Read ", "it"])),
        ("a + b", "a - b", (["a ", "+", " b"], ["a ", "-", " b"])),
        ("Sort numbers quickly", "Open a socket", (["Sort numbers quickly"], ["Open a socket"])),
        ("", "", ([""], [""])),
    ],
)
def test_differing_words_are_marked(first: str, second: str, expected: object) -> None:
    assert marked(first, second) == expected


# What comes back


@settings(max_examples=200)
@given(
    st.lists(st.tuples(NASTY, NASTY, st.floats(0, 5) | st.none(), NASTY, NAMES), max_size=4),
    st.sampled_from([as_csv, as_jsonl]),
)
def test_grades_that_went_out_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    given_out: list[tuple[str, str, float | None, str, str]],
    write: Callable[[list[ReviewRow]], str],
) -> None:
    rows = [row(a, b, score=s, note=n, reviewer=r) for a, b, s, n, r in given_out]
    rows = list({entry.pair_id: entry for entry in rows}.values())
    path = tmp_path_factory.getbasetemp() / "round_trip"
    if not rows:
        return
    found = read(path, write(rows), Asked([entry.pair_id for entry in rows]))
    assert [(a.pair_id, a.annotator, a.score, a.note) for a in found.answers] == [
        (r.pair_id, f"human:{r.reviewer}", pytest.approx(r.score / 5, abs=1e-9), r.note.strip())
        for r in rows
        if r.score is not None
    ]
    assert [r.reason for r in found.refused] == ["no_grade"] * sum(r.score is None for r in rows)
    assert found.absent == []


def semicolons(rows: list[ReviewRow]) -> bytes:
    lines = [[c.replace(".5", ",5") if i == 3 else c for i, c in enumerate(line)] for line in
             csv.reader(io.StringIO(as_csv(rows), newline=""))]  # fmt: skip
    return b"\xef\xbb\xbf" + table(*lines[1:], separator=";").encode()


def shuffled(rows: list[ReviewRow]) -> bytes:
    lines = list(csv.DictReader(io.StringIO(as_csv(rows), newline="")))
    order = ("Note", "SCORE", " pair_id ", "my own", "sentence2", "sentence1")
    body = [[line.get(name.strip().lower(), "x") for name in order] for line in lines]
    return table(*body, header=order).encode()


SAVED: dict[str, Callable[[list[ReviewRow]], bytes]] = {
    "as written": lambda rows: as_csv(rows).encode(),
    "JSON lines": lambda rows: as_jsonl(rows).encode(),
    "JSON lines with CRLF and empty lines": lambda rows: (
        b"\xef\xbb\xbf\r\n" + as_jsonl(rows).replace("\n", "\r\n\r\n").encode()
    ),
    "semicolons, decimal comma, byte order mark, CRLF": semicolons,
    "semicolons under a line that says so": lambda rows: (
        b"\xef\xbb\xbfsep=;\r\n" + semicolons(rows)[3:]
    ),
    "tabs in UTF-16": lambda rows: table(
        *list(csv.reader(io.StringIO(as_csv(rows), newline="")))[1:], separator="\t"
    ).encode("utf-16"),
    "other columns in another order": shuffled,
    "without the texts": lambda rows: table(
        *([r.pair_id.upper(), str(r.score), r.note] for r in rows),
        header=("pair_id", "score", "note"),
    ).encode(),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_file_is_read_however_it_was_saved(name: str, tmp_path: Path) -> None:
    found = read(tmp_path / "back", SAVED[name](GRADED))
    assert [(a.pair_id, a.score, a.note) for a in found.answers] == [
        (entry.pair_id, grade / 5, f"note {grade}")
        for entry, grade in zip(ROWS, GRADES, strict=True)
    ]
    assert {answer.annotator for answer in found.answers} == {"human:Ada"}
    assert (found.refused, found.absent) == ([], [])


def test_an_answer_is_an_annotation_of_a_human(tmp_path: Path) -> None:
    answer = read(tmp_path / "back", table(cells(ROWS[0], "4", reviewer="Bo"))).answers[0]
    annotation = answer.annotation
    assert (annotation.annotator, annotation.score) == ("human:Bo", 0.8)
    assert (annotation.pair_id, annotation.reason) == (IDS[0], "")


FIRST = cells(ROWS[0], "4")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (cells(ROWS[1], ""), "no_grade"),
        (cells(ROWS[1], "  "), "no_grade"),
        (cells(ROWS[1], "6"), "out_of_scale"),
        (cells(ROWS[1], "-1"), "out_of_scale"),
        (cells(ROWS[1], "5,1"), "out_of_scale"),
        (cells(ROWS[1], "nan"), "not_a_number"),
        (cells(ROWS[1], "1E+15"), "out_of_scale"),
        (cells(ROWS[1], "4 of 5"), "not_a_number"),
        (cells(ROWS[1], "٣"), "not_a_number"),
        (cells(ROWS[1], "9" * 400), "not_a_number"),
        (["#" + IDS[1], "Read and close", "=SUM(A1:A9)", "3", "", ""], "text_edited"),
        (["#" + IDS[1], "", "", "3", "", ""], "text_edited"),
        (["#0123456789abcdef", "a", "b", "3", "", ""], "unknown_pair"),
        (["1.23E+15", "a", "b", "3", "", ""], "unknown_pair"),
        (["", "a", "b", "3", "", ""], "no_pair_id"),
        (["", " ", "", "", "", ""], "empty_row"),
        ([*cells(ROWS[1], "3"), "more"], "too_many_cells"),
        (cells(ROWS[1], "3")[:3], "no_grade"),
        (cells(ROWS[1], "3", reviewer="x" * 81), "not_a_name"),
        (cells(ROWS[1], "3", reviewer="a\u202eb"), "not_a_name"),
    ],
)
def test_a_row_that_is_no_answer_is_refused_with_its_line(
    bad: list[str], reason: str, tmp_path: Path
) -> None:
    after = cells(ROWS[2], "1")  # its first text is on two lines
    found = read(tmp_path / "back", table(after, bad, FIRST))
    assert [(refusal.line, refusal.reason) for refusal in found.refused] == [(4, reason)]
    assert [answer.line for answer in found.answers] == [2, 5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1, 2]", "not_json"),
        ('{"pair_id": ', "not_json"),
        ('{"a": ' + "[" * 100_000, "not_json"),
        ('{"score": 3}', "no_pair_id"),
        ('{"pair_id": ["x"], "score": 3}', "unknown_pair"),
        (json.dumps({"pair_id": IDS[1], "score": None}), "no_grade"),
        (json.dumps({"pair_id": IDS[1]}), "no_grade"),
        (json.dumps({"pair_id": IDS[1], "score": True}), "not_a_number"),
        (json.dumps({"pair_id": IDS[1], "score": [3]}), "not_a_number"),
        (json.dumps({"pair_id": IDS[1], "score": float("nan")}), "not_a_number"),
        (json.dumps({"pair_id": IDS[1], "score": 5.01}), "out_of_scale"),
        (json.dumps({"pair_id": IDS[1], "score": 3, "sentence1": "x"}), "text_edited"),
    ],
)
def test_a_json_line_that_is_no_answer_is_refused_with_its_line(
    line: str, reason: str, tmp_path: Path
) -> None:
    good = json.dumps({"pair_id": IDS[0], "score": "4", "note": "\ud800"})
    found = read(tmp_path / "back", f"{good}\n\n{line}\n")
    assert [(refusal.line, refusal.reason) for refusal in found.refused] == [(3, reason)]
    assert [(answer.score, answer.note) for answer in found.answers] == [(0.8, "?")]


def test_without_a_name_anywhere_no_row_counts(tmp_path: Path) -> None:
    found = read(tmp_path / "back", table(FIRST, cells(ROWS[1], "2", reviewer=" Bo ")), Asked(IDS))
    assert [answer.reviewer for answer in found.answers] == ["Bo"]
    assert [refusal.reason for refusal in found.refused] == ["no_reviewer"]


def test_one_name_in_two_spellings_of_unicode_is_one_reviewer(tmp_path: Path) -> None:
    rows = [cells(ROWS[0], "2", reviewer="Ju\u0308rgen"), cells(ROWS[1], "2", reviewer="Jürgen")]
    assert {answer.reviewer for answer in read(tmp_path / "b", table(*rows)).answers} == {"Jürgen"}


def test_a_pair_graded_twice_alike_counts_once(tmp_path: Path) -> None:
    found = read(tmp_path / "back", table(FIRST, cells(ROWS[0], "4.0")))
    assert [answer.line for answer in found.answers] == [2]
    assert [(r.line, r.reason, r.detail) for r in found.refused] == [(3, "repeated", "lines 2, 3")]


def test_a_pair_graded_twice_differently_counts_not_at_all(tmp_path: Path) -> None:
    rows = [FIRST, cells(ROWS[1], "1"), cells(ROWS[0], "3"), FIRST]
    found = read(tmp_path / "back", table(*rows))
    assert [answer.pair_id for answer in found.answers] == [IDS[1]]
    assert [(r.line, r.reason) for r in found.refused] == [(n, "contradicts") for n in (2, 4, 5)]


def test_two_people_may_grade_a_pair_differently(tmp_path: Path) -> None:
    rows = [cells(ROWS[0], "4", reviewer="Ada"), cells(ROWS[0], "1", reviewer="Bo")]
    found = read(tmp_path / "back", table(*rows))
    assert [(a.annotator, a.score) for a in found.answers] == [
        ("human:Ada", 0.8),
        ("human:Bo", 0.2),
    ]
    assert found.refused == []


def test_pairs_that_no_row_names_are_listed(tmp_path: Path) -> None:
    found = read(tmp_path / "back", table(cells(ROWS[2], "4"), cells(ROWS[0], "")))
    assert found.absent == [IDS[1], IDS[3]]


def test_the_account_names_every_reason_with_lines(tmp_path: Path) -> None:
    rows = [FIRST, *(cells(ROWS[1], "") for _ in range(10)), cells(ROWS[2], "7")]
    assert describe(read(tmp_path / "back", table(*rows))).splitlines() == [
        "1 grades, 11 rows refused, 1 pairs not in the file",
        "no_grade: 10 (line 3, 4, 5, 6, 7, 8, 9, 10, ...)",
        "out_of_scale: 1 (line 13)",
    ]


CELL = NASTY | st.sampled_from([*IDS, *("#" + i for i in IDS), "3", "2,5", "9", "Ada", "Bo", ""])


@settings(max_examples=300)
@given(st.lists(st.lists(CELL, min_size=1, max_size=7), max_size=8), st.sampled_from(",;\t"))
def test_every_row_of_any_table_is_an_answer_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], separator: str
) -> None:
    content = table(*rows, separator=separator)
    found = read(tmp_path_factory.getbasetemp() / "any_table", content)
    lines = list(csv.reader(io.StringIO(content, newline=""), delimiter=separator))[1:]
    assert len(found.answers) + len(found.refused) == sum(bool(line) for line in lines)
    counts = Counter((answer.pair_id, answer.reviewer) for answer in found.answers)
    assert set(counts.values()) <= {1}
    assert {answer.pair_id for answer in found.answers}.isdisjoint(found.absent)


@settings(max_examples=200)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(COLUMNS),
            CELL | st.none() | st.booleans() | st.floats() | st.lists(st.integers(), max_size=2),
        ).map(json.dumps)
        | st.text(max_size=10).filter(lambda text: not re.search(r"[\n\ud800-\udfff]", text)),
        max_size=8,
    )
)
def test_every_json_line_is_an_answer_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    content = "\n".join(["{}", *lines])
    found = read(tmp_path_factory.getbasetemp() / "any_lines", content)
    rows = sum(bool(line.strip()) for line in content.split("\n"))
    assert len(found.answers) + len(found.refused) == rows


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"pair_id,score\n\xe4,3\n", r'is not UTF-8 \(byte 14\): save it again as "CSV UTF-8"'),
        (b"id,grade\nx,3\n", "its columns are id, grade; it needs pair_id and score"),
        (b"pair_id,score,Score\nx,3,4\n", "the column score stands there twice"),
        (b'pair_id,score\nx,3\ny,"4\nz,5\n', "line 4: .*a quote was left open"),
        (b"[\n1\n]", "it needs pair_id and score"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_told(
    content: bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        read(tmp_path / "back.csv", content)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the reviewed file .*nowhere\.csv"):
        read_review(tmp_path / "nowhere.csv", ASKED)


def test_the_scale_says_what_each_grade_means() -> None:
    assert SIMILARITY.top == 5
    assert len(set(SIMILARITY.grades)) == 6
