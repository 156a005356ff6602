from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.boilerplate import CommonLines, LineCounts, strip
from pipeline.records import Document, normalised, text_id
from pipeline.sections import CleanSettings

Make = Callable[..., Document]

SETTINGS = CleanSettings()
FOOTER = "\u00a9 2026 Example, all rights reserved"


def stripped(documents: Sequence[Document], limits: CleanSettings = SETTINGS) -> list[str]:
    counts = LineCounts()
    for document in documents:
        counts.add(document)
    common = counts.common(limits)
    return [strip(document, common, limits)[0].text for document in documents]


def page(document: Make, number: int, *lines: str, group: str = "site") -> Document:
    return document(
        "\n".join([f"Page {number} is about itself.", *lines]), f"{number}", group=group
    )


def test_lines_that_a_site_repeats_are_removed_and_counted(document: Make) -> None:
    pages = [
        page(document, n, "Home", f"More on {n}.", "  HOME ", FOOTER.upper()) for n in range(10)
    ]
    counts = LineCounts()
    for each in pages:
        counts.add(each)
    document, removed = strip(pages[3], counts.common(SETTINGS), SETTINGS)
    assert (document.text, removed) == ("Page 3 is about itself.\nMore on 3.\n", 3)


def test_a_line_must_be_in_more_than_a_share_of_the_documents(document: Make) -> None:
    pages = [page(document, n, *["Sale!"] * (n < 6)) for n in range(20)]
    assert sum("Sale!" in text for text in stripped(pages)) == 6  # 6 of 20 are 0.3
    pages = [page(document, n, *["Sale!"] * (n < 7)) for n in range(20)]
    assert sum("Sale!" in text for text in stripped(pages)) == 0
    assert sum("Sale!" in text for text in stripped(pages, CleanSettings(boilerplate_share=1))) == 7


def test_a_line_of_few_documents_is_never_removed(document: Make) -> None:
    four, five = ([page(document, n, FOOTER) for n in range(size)] for size in (4, 5))
    assert all(FOOTER in text for text in stripped(four))
    assert not any(FOOTER in text for text in stripped(five))


def test_a_line_counts_once_in_a_document_and_in_its_own_group_only(document: Make) -> None:
    pages = [page(document, n, *["Home"] * 9) for n in range(4)]
    pages += [page(document, n, "Home", group=f"site {n}") for n in range(9)]
    assert stripped(pages) == [each.text for each in pages]


def test_documents_without_a_group_belong_to_their_source(document: Make) -> None:
    pages = [page(document, n, FOOTER, group="") for n in range(6)]
    assert not any(FOOTER in text for text in stripped(pages))


def test_a_text_of_one_line_stays_however_often_it_stands_there(document: Make) -> None:
    rows = [document("Where is my card?", f"{n}") for n in range(50)]
    assert stripped(rows) == ["Where is my card?"] * 50


def test_copies_of_a_document_do_not_make_its_lines_boilerplate(document: Make) -> None:
    copies = [document("A title\nand a text.", f"copy {n}") for n in range(30)]
    pages = [page(document, n, group="") for n in range(10)]
    assert stripped([*copies, *pages]) == [each.text for each in [*copies, *pages]]


def test_rules_and_fences_stay(document: Make) -> None:
    pages = [page(document, n, "---", "```python", f"x = {n}", "```") for n in range(9)]
    assert stripped(pages) == [each.text for each in pages]


def test_headings_stay_only_where_documents_are_cut_by_them(document: Make) -> None:
    pages = [page(document, n, "## See also", f"Page {n + 1}.") for n in range(9)]
    assert not any("See also" in text for text in stripped(pages))
    cut = CleanSettings(chunk="section")
    assert all("See also" in text for text in stripped(pages, cut))


def test_a_page_of_nothing_else_is_left_empty(document: Make) -> None:
    pages = [page(document, n, "Home", "Log in") for n in range(9)]
    empty = document("Home\n\nLog in\n", group="site")
    assert stripped([*pages, empty])[-1].strip() == ""


def test_nothing_counted_removes_nothing(document: Make) -> None:
    each = page(document, 1, "Home")
    assert strip(each, CommonLines.none(), SETTINGS) == (each, 0)


LINES = st.lists(st.sampled_from(["a b", "A  B", "c", "d e", "--", "", "f"]), max_size=6)


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES, max_size=14), st.sampled_from([0.0, 0.3, 0.6]), st.integers(2, 5))
def test_what_is_removed_is_what_counting_by_hand_says(
    texts: list[list[str]], share: float, least: int
) -> None:
    documents = [
        Document(id=text_id(f"{n}"), text="\n".join([*lines, f"line {n}"]), name=f"{n}", source="s")
        for n, lines in enumerate(texts)
    ]
    holding: Counter[str] = Counter()
    for lines in texts:
        kinds = {normalised(line) for line in lines if any(map(str.isalnum, line))}
        holding.update(kinds if kinds else [])
    limits = CleanSettings(boilerplate_share=share, boilerplate_documents=least)
    expected = [
        [
            line
            for line in [*lines, f"line {n}"]
            if not any(map(str.isalnum, line))
            or len({*filter(str.strip, lines)} - {"--"}) == 0
            or holding[normalised(line)] <= max(share * len(texts), least - 1)
        ]
        for n, lines in enumerate(texts)
    ]
    assert [text.splitlines() for text in stripped(documents, limits)] == expected


def test_memory_is_bounded_and_what_is_common_is_still_found(document: Make) -> None:
    limit = 2_000
    counts = LineCounts(limit)
    tracemalloc.start()
    for n in range(6_000):
        own = [f"Line {part} of page {n}." for part in range(10)]
        counts.add(page(document, n, *own, *[FOOTER] * (n % 2)))
    assert len(counts) <= limit
    assert tracemalloc.get_traced_memory()[1] < 9_000_000  # 60,000 lines in a set take more
    tracemalloc.stop()
    common = counts.common(SETTINGS)
    assert strip(page(document, 7, FOOTER, "Line 1 of page 8."), common, SETTINGS)[1] == 1


@pytest.mark.parametrize("limit", [4, 60, 10_000])
def test_a_full_table_never_removes_a_line_that_is_not_common(document: Make, limit: int) -> None:
    counts = LineCounts(limit)
    pages = [page(document, n, *["Sale!"] * (n % 10 < 3), f"Line {n % 4}.") for n in range(200)]
    for each in pages:
        counts.add(each)
        len(counts)  # counts what waits, and forgets
    common = counts.common(SETTINGS)
    assert all("Sale!" in strip(each, common, SETTINGS)[0].text for each in pages[:3])
