from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.chunking import chunks, paragraphs
from pipeline.records import Document, text_id
from pipeline.sections import CleanSettings
from pipeline.words import count_words

Make = Callable[..., Document]

TEXT = """Before any heading.

# Files

Open a file. Then read it.
It is closed at the end.

Writing is another matter.

## Modes ##

```
# not a heading

mode = "r"
```
Text after it.

## Empty
# Sockets #
A socket is a C# thing."""

MODES = ("section", "paragraph", "sentence")


def cut(text: str, mode: str, words: int = 200, section: str = "") -> list[Document]:
    document = Document(id=text_id(text), text=text, name="guide", source="test", section=section)
    return chunks(document, CleanSettings.model_validate({"chunk": mode, "chunk_words": words}))


def visible(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_a_text_is_kept_whole_unless_asked_otherwise(document: Make) -> None:
    whole = document("word " * 10_000)
    assert chunks(whole, CleanSettings()) == [whole]


def test_sections_are_cut_at_headings_outside_of_code() -> None:
    found = [(chunk.section, " ".join(chunk.text.split())) for chunk in cut(TEXT, "section")]
    files = "Open a file. Then read it. It is closed at the end. Writing is another matter."
    assert found == [
        ("", "Before any heading."),
        ("Files", files),
        ("Files > Modes", '``` # not a heading mode = "r" ``` Text after it.'),
        ("Files", "Empty"),
        ("Sockets", "A socket is a C# thing."),
    ]


def test_underlined_titles_are_headings_and_tables_are_not() -> None:
    text = "Guide\n=====\nIntroduction.\n\nModes\n---\nRead.\n\nOn two\nlines\n---\n\na | b\n---\n"
    assert [(chunk.section, chunk.text) for chunk in cut(text, "paragraph")] == [
        ("Guide", "Introduction."), ("Guide > Modes", "Read."),
        ("Guide > Modes", "On two\nlines\n---"), ("Guide > Modes", "a | b\n---"),
    ]  # fmt: skip


def test_paragraphs_and_sentences_are_smaller_parts_of_the_same() -> None:
    texts = {mode: [" ".join(chunk.text.split()) for chunk in cut(TEXT, mode)] for mode in MODES}
    assert texts["paragraph"][1:3] == [
        "Open a file. Then read it. It is closed at the end.",
        "Writing is another matter.",
    ]
    assert texts["sentence"][1:4] == [
        "Open a file.", "Then read it.", "It is closed at the end.",
    ]  # fmt: skip


def test_a_chunk_knows_its_document_and_keeps_its_provenance(document: Make) -> None:
    whole = document(TEXT, "guide", section="Library", url="https://x.org/", duplicates="other")
    for chunk in chunks(whole, CleanSettings(chunk="paragraph")):
        assert (chunk.parent, chunk.url, chunk.duplicates) == ("guide", whole.url, "other")
        assert re.fullmatch(r"guide#[0-9a-f]{8}", chunk.name)
        assert chunk.id == text_id(chunk.text)
        assert chunk.section.startswith("Library")


@pytest.mark.parametrize("mode", MODES)
def test_editing_a_paragraph_renames_only_its_chunks(mode: str) -> None:
    before = cut(TEXT, mode)
    after = cut(TEXT.replace("another matter", "simple. And quick"), mode)
    changed = {chunk.section for chunk in {*before} ^ {*after}}
    assert changed == {"Files"}
    kept = {chunk.name for chunk in before} & {chunk.name for chunk in after}
    assert len(kept) == len(before) - 1


def test_adding_a_section_renames_nothing_else() -> None:
    names = [chunk.name for chunk in cut(TEXT, "paragraph")]
    more = [chunk.name for chunk in cut(f"# News\n\nAll is new.\n\n# Guide\n{TEXT}", "paragraph")]
    assert set(names[1:]) <= set(more)


def test_the_same_text_twice_in_a_section_has_two_names() -> None:
    first, second, third = cut("Same text.\n\nSame  text.\n\nSame text.", "paragraph")
    assert [second.name, third.name] == [f"{first.name}-2", f"{first.name}-3"]


def test_a_long_section_is_cut_between_paragraphs_and_those_between_sentences() -> None:
    short, long = "One two three four.", "Five six seven. Eight nine ten. Eleven twelve."
    text = f"{short}\n\n{short}\n\n{short}\n\n{long}"
    assert [chunk.text for chunk in cut(text, "section", 8)] == [
        f"{short}\n\n{short}", short, "Five six seven. Eight nine ten. Eleven twelve.",
    ]  # fmt: skip
    assert [chunk.text for chunk in cut(f"{long} {long}", "paragraph", 8)] == [
        long, long,
    ]  # fmt: skip


def test_only_a_sentence_that_is_too_long_alone_is_cut() -> None:
    texts = [chunk.text for chunk in cut(f"One two. A{' word' * 18} end. Last one.", "section", 8)]
    assert texts == [
        "One two.", f"A{' word' * 7}", "word " * 7 + "word", "word word word end. Last one.",
    ]  # fmt: skip


def test_sentences_end_where_their_script_says() -> None:
    text = "今天天气很好。我们去公园吧！你来吗？"  # noqa: RUF001 - Chinese
    assert [chunk.text for chunk in cut(text, "sentence")] == [
        "今天天气很好。", "我们去公园吧！", "你来吗？",  # noqa: RUF001
    ]  # fmt: skip


PIECES = st.lists(
    st.sampled_from(
        ["# One", "===", "---", "## Two ##", "### Three", "#no", "# #", "```", "~~~", "", " ",
         "A b c. D e f.", "- item",
         "e.g. this.", "very " * 12, "終わり。次", "   # indented", "    # code", "# ", "#\tTab",
         "x\x0cy"]
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(PIECES, st.sampled_from(MODES), st.integers(8, 20))
def test_no_text_is_lost_and_no_chunk_is_too_long(pieces: list[str], mode: str, words: int) -> None:
    text = "\n".join(pieces)
    found = cut(text, mode, words)
    assert found
    if not visible(text).strip("#"):  # marks of headings alone say nothing
        return
    headings = [part for chunk in found for part in chunk.section.split(" > ")]
    said = visible("".join([*headings, *(chunk.text for chunk in found)]))
    for paragraph in paragraphs(text):
        assert all(visible(title) in said for title in paragraph.headings)
    # The paragraphs hold all but the marks of headings, and the chunks hold the paragraphs.
    bodies = visible("".join(paragraph.text for paragraph in paragraphs(text)))
    assert visible("".join(chunk.text for chunk in found)) == bodies
    titles = {visible(title) for paragraph in paragraphs(text) for title in paragraph.headings}
    for line in pieces:
        part = re.sub(r"^#+|#+$|^(===|---)$", "", visible(line))
        assert part in bodies or part in titles
    assert all(count_words(chunk.text) <= words for chunk in found)
    assert len({chunk.name for chunk in found}) == len(found)


def test_time_grows_with_the_length_of_the_text_only() -> None:
    start = time.perf_counter()
    for part in ("# a\n", "word ", "```\n", "A. ", "\n", "a\n\n", "語", "######"):
        cut(part * 50_000, "section")
    assert time.perf_counter() - start < 20
