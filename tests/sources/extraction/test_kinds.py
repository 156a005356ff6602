from __future__ import annotations

import io
import zipfile

import docx
import pytest

from pipeline.sources.extraction import Extracted, Extractor, Failed, Kind
from tests.sources import made

LONG = "This paragraph holds enough words that it is told from a menu by its length alone."


def extracted(extractor: Extractor, data: bytes, kind: Kind, url: str = "") -> Extracted:
    found = extractor.extract(data, kind, url)
    assert isinstance(found, Extracted), found
    return found


def failed(extractor: Extractor, data: bytes, kind: Kind) -> str:
    found = extractor.extract(data, kind)
    assert isinstance(found, Failed)
    return found.reason


def test_a_page_keeps_headings_lists_tables_and_code_and_loses_its_menus(
    extractor: Extractor,
) -> None:
    page = f"""<html lang="en"><head><title>Site</title></head><body>
    <nav><ul><li><a href="/">Home</a></li><li><a href="/x">Other</a></li></ul></nav>
    <main><article><h1>The title</h1><p>{LONG} With <b>bold</b>, <a href="/l">a link</a> and
    <code>code</code>.</p><h2>A part</h2><ul><li>One thing</li><li>Another <ul><li>inside</li></ul>
    </li></ul><pre><code>def f():
    return 1</code></pre><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>
    <h3>Deeper</h3><p>{LONG}</p></article></main><footer>Copyright of somebody</footer></body>"""
    found = extracted(extractor, page.encode(), "html")
    assert (found.title, found.language) == ("The title", "en")
    assert found.text.split("\n\n") == [
        f"{LONG} With bold, a link and code.",
        "## A part",
        "- One thing\n- Another\n  - inside",
        "```\ndef f():\n    return 1\n```",
        "A | B\n1 | 2",
        "### Deeper",
        LONG,
    ]


def test_links_are_absolute_http_once_each_and_not_those_that_say_nofollow(
    extractor: Extractor,
) -> None:
    hrefs = ["a", "a#part", "/b?c=1", "//other.org/d", "https://third.org", "mailto:x@y.z", "",
             "javascript:f()", "data:text/html,x", "http://[bad", "#top", "file:///x"]  # fmt: skip
    anchors = "".join(f'<a href="{href}">link</a>' for href in hrefs)
    page = made.html(
        f"<p>{LONG}</p>", anchors, '<a rel="nofollow" href="/never">x</a>',
        head='<base href="/dir/"><link rel="canonical" href="/real">'
        '<meta name="ROBOTS" content="NoIndex, nofollow">',
    )  # fmt: skip
    found = extracted(extractor, page, "html", "https://example.org/start/page")
    assert found.links == (
        "https://example.org/dir/a",
        "https://example.org/b?c=1",
        "https://other.org/d",
        "https://third.org",
        "https://example.org/dir/",
    )
    assert found.canonical == "https://example.org/real"
    assert found.robots == "noindex, nofollow"


@pytest.mark.parametrize(
    ("body", "stated", "header"),
    [
        ("utf-8", "", ""),
        ("utf-8", "iso-8859-1", ""),  # wrong, as so often
        ("utf-8", "", "iso-8859-1"),
        ("cp1251", "windows-1251", ""),
        ("cp1251", "", "windows-1251"),
        ("utf-16", "", ""),
        ("koi8-r", "", "koi8-r"),
        ("cp1251", "no-such-encoding", ""),
    ],
)
def test_a_page_is_read_in_the_encoding_it_is_in(
    extractor: Extractor, body: str, stated: str, header: str
) -> None:
    words = "Этот абзац достаточно длинный, чтобы его не приняли за меню, и поэтому он остаётся."  # noqa: RUF001 - Russian
    meta = f'<meta charset="{stated}">' if stated else ""
    page = made.html(f"<p>{words}</p>", title="Заголовок", head=meta).decode().encode(body)
    found = extractor.extract(page, "html", charset=header)
    assert isinstance(found, Extracted)
    assert (found.text, found.title) == (words, "Заголовок")


def test_a_pdf_is_paragraphs_and_headings_by_size_without_running_heads(
    extractor: Extractor,
) -> None:
    def page(number: int, *lines: tuple[float, str]) -> list[tuple[float, str]]:
        return [(9, "Running head"), *lines, (9, f"Page {number}")]

    data = made.pdf(
        [
            page(1, (20, "The Chapter"), (11, "This is a sentence that is bro-"),
                 (11, "ken over two lines of it."), (14, "A Section"), (11, "Words follow here,")),
            page(2, (11, "and go on over the end of a page.")),
            page(3, (14, "Another Section"), (11, "(Words) with a \\ mark.")),
        ],
        title="Its Title",
    )  # fmt: skip
    found = extracted(extractor, data, "pdf")
    assert found.title == "Its Title"
    assert found.text.split("\n\n") == [
        "# The Chapter",
        "This is a sentence that is broken over two lines of it.",
        "## A Section",
        "Words follow here, and go on over the end of a page.",
        "## Another Section",
        "(Words) with a \\ mark.",
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (made.pdf([[(11, "Secret words.")]], password="x"), "encrypted"),  # noqa: S106 - of the test
        (made.pdf([[], []]), "no_text"),
        (made.pdf([[(11, "Words.")]])[:400], "broken"),
        (b"", "broken"),
    ],
)
def test_a_pdf_without_text_for_us_says_why(extractor: Extractor, data: bytes, reason: str) -> None:
    assert failed(extractor, data, "pdf") == reason


def test_a_pdf_that_anyone_may_open_is_read_though_it_is_encrypted(extractor: Extractor) -> None:
    from pypdf import PdfReader, PdfWriter  # noqa: PLC0415 - here alone

    writer = PdfWriter(PdfReader(io.BytesIO(made.pdf([[(11, "Words for everyone.")]]))))
    writer.encrypt("", owner_password="owner", algorithm="AES-256")  # noqa: S106 - of the test
    stream = io.BytesIO()
    writer.write(stream)
    assert extracted(extractor, stream.getvalue(), "pdf").text == "Words for everyone."


def word_file(document: docx.document.Document) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_a_word_file_keeps_headings_and_tables_and_loses_hidden_runs(extractor: Extractor) -> None:
    document = docx.Document()
    document.add_paragraph("The title", style="Title")
    document.add_paragraph("A part", style="Heading 1")
    paragraph = document.add_paragraph("Seen words")
    paragraph.add_run(" and hidden ones").font.hidden = True
    paragraph.add_run(", seen again.")
    table = document.add_table(2, 2)
    for number, cell in enumerate(table._cells):
        cell.text = f"cell {number}"
    table.cell(0, 0).merge(table.cell(0, 1))
    document.add_paragraph("Deeper", style="Heading 3")
    found = extracted(extractor, word_file(document), "docx")
    assert found.title == "The title"
    assert found.text.split("\n\n") == [
        "# A part",
        "Seen words, seen again.",
        "cell 0 cell 1\ncell 2 | cell 3",
        "### Deeper",
    ]


def with_part(data: bytes, name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", 8) as new:
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
        new.writestr(name, content)
    return stream.getvalue()


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;">]>
<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p>
<w:r><w:t>&d;</w:t></w:r></w:p></w:body></w:document>"""
OUTSIDE = LAUGHS.replace(b'"ha"', b'SYSTEM "file:///etc/passwd"')


@pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml", "docProps/core.xml"])
@pytest.mark.parametrize("content", [LAUGHS, OUTSIDE, LAUGHS.decode().encode("utf-16")])
def test_a_word_file_that_declares_entities_is_refused(
    extractor: Extractor, part: str, content: bytes
) -> None:
    data = with_part(made.docx([("Normal", "Words.")]), part, content)
    assert failed(extractor, data, "docx") == "xml_entities"


def test_a_word_file_that_is_a_bomb_is_not_unpacked(extractor: Extractor) -> None:
    bomb = with_part(made.docx([("Normal", "Words.")]), "word/media/a.bin", b"\0" * (120 << 20))
    assert len(bomb) < 1 << 20
    assert failed(extractor, bomb, "docx") == "too_large"


@pytest.mark.parametrize("name", ["../../escape.txt", "/tmp/escape.txt", "word/../../../x.xml"])  # noqa: S108 - never written
def test_names_inside_a_word_file_are_no_paths(extractor: Extractor, name: str) -> None:
    data = with_part(made.docx([("Normal", "Words.")]), name, b"<x/>")
    assert extracted(extractor, data, "docx").text == "Words."


@pytest.mark.parametrize(
    ("given", "title", "text"),
    [
        ("# Title\n\nWords.", "Title", "Words."),
        ("# Title #\nWords.", "Title", "Words."),
        ("---\ntitle: 'The one'\ntags: [a]\n---\nWords.", "The one", "Words."),
        ("---\ntitle: Same\n---\n# same\n\nWords.", "same", "Words."),
        ("---\ntitle: One\n---\n# Other\n\nWords.", "One", "# Other\n\nWords."),
        ("Words.\n\n# Late\n\nMore.", "", "Words.\n\n# Late\n\nMore."),
        ("## Part\n\nWords.", "", "## Part\n\nWords."),
        ("---\nno end of it", "", "---\nno end of it"),
        ("#hashtag words", "", "#hashtag words"),
    ],
)
def test_the_title_of_markdown_is_told_from_its_text(
    extractor: Extractor, given: str, title: str, text: str
) -> None:
    found = extracted(extractor, given.encode(), "markdown")
    assert (found.title, found.text) == (title, text)
