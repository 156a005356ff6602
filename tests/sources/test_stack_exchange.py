"""Stack Exchange dumps: rows as a stream, posts as text, links as duplicates, files cut short."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
import zstandard
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from pipeline.config import CHECKOUT
from pipeline.errors import InputError
from pipeline.records import Document, Dropped, text_id
from pipeline.sections import CollectSettings, StackExchangeSettings
from pipeline.sources import posts, stack_exchange

POSTS = [
    {"Id": "1", "PostTypeId": "1", "Score": "5", "Title": "How do I open a file?", "Tags": "<io>",
     "Body": "<p>I <b>want</b> to.</p>", "ContentLicense": "CC BY-SA 4.0"},
    {"Id": "2", "PostTypeId": "2", "ParentId": "1", "Score": "3", "Body": "<p>Call open.</p>"},
    {"Id": "4", "PostTypeId": "1", "Score": "-1", "Title": "Opening files [duplicate]",
     "Tags": "|io|python|", "Body": "<p>How?</p><pre><code>open()</code></pre>"},
    {"Id": "5", "PostTypeId": "1", "Score": "0", "Title": "Lists", "Tags": "<list>",
     "Body": "<p>Sort?</p>"},
    {"Id": "6", "PostTypeId": "5", "Score": "0", "Body": "<p>About the tag.</p>"},
    {"Id": "7", "PostTypeId": "2", "ParentId": "5", "Score": "-2", "Body": "<p>Call sort.</p>"},
]  # fmt: skip
LINKS = [
    {"Id": "1", "PostId": "4", "RelatedPostId": "1", "LinkTypeId": "3"},
    {"Id": "2", "PostId": "5", "RelatedPostId": "1", "LinkTypeId": "1"},
    {"Id": "3", "PostId": "4", "RelatedPostId": "4", "LinkTypeId": "3"},
]


def xml(rows: list[dict[str, str]], root: str = "posts") -> str:
    lines = [
        "  <row " + " ".join(f"{name}={quoteattr(value)}" for name, value in row.items()) + " />"
        for row in rows
    ]
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return "\n".join([head, f"<{root}>", *lines, f"</{root}>", ""])


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    folder = tmp_path / "cooking.stackexchange.com"
    folder.mkdir()
    (folder / "Posts.xml").write_text(xml(POSTS))
    (folder / "PostLinks.xml").write_text(xml(LINKS, "postlinks"))
    return folder


def settings(path: Path, **more: Any) -> CollectSettings:
    asked = StackExchangeSettings.model_validate(more)
    return CollectSettings(
        source="stack_exchange", path=str(path), licence="mine", stack_exchange=asked
    )


def collected(path: Path, **more: Any) -> tuple[dict[str, Document], dict[str, Dropped]]:
    found = list(stack_exchange.read(settings(path, **more), path.parent / "shelf"))
    documents = {one.name.partition("/")[2]: one for one in found if isinstance(one, Document)}
    return documents, {one.reason: one for one in found if isinstance(one, Dropped)}


def test_a_question_is_a_document_with_its_provenance(dump: Path) -> None:
    documents, dropped = collected(dump)
    assert list(documents) == ["q/1", "q/4", "q/5"]
    one = documents["q/1"]
    assert (one.title, one.text) == ("How do I open a file?", "I want to.")
    assert one.name == "cooking.stackexchange.com/q/1"
    assert one.url == "https://cooking.stackexchange.com/q/1"
    assert (one.licence, documents["q/5"].licence) == ("CC BY-SA 4.0", "mine")
    assert one.group == "cooking.stackexchange.com"
    assert one.id == text_id("I want to.")
    assert not dropped


def test_links_name_what_a_question_duplicates(dump: Path) -> None:
    documents, _ = collected(dump)
    found = {name: one.duplicates for name, one in documents.items() if one.duplicates}
    assert found == {"q/4": "cooking.stackexchange.com/q/1"}


def test_neither_title_nor_text_says_that_a_question_is_a_duplicate(dump: Path) -> None:
    assert collected(dump)[0]["q/4"].title == "Opening files"
    notice = (
        "<blockquote>\n <p><strong>Possible Duplicate:</strong><br><a>How?</a></p></blockquote>"
    )
    assert posts.prose(f"{notice}<p>Mine.</p><blockquote>A quote.</blockquote>", "drop") == (
        "Mine.\n\nA quote."
    )


def test_settings_choose_posts_and_what_is_left_out_is_counted(dump: Path) -> None:
    documents, dropped = collected(dump, answers=True)
    assert list(documents) == ["q/1", "a/2", "q/4", "q/5", "a/7"]
    assert documents["a/2"].url == "https://cooking.stackexchange.com/a/2"
    found = list(stack_exchange.read(settings(dump, answers=True, tags=["io"], min_score=0), dump))
    site = "cooking.stackexchange.com"
    assert [one.name for one in found if isinstance(one, Document)] == [
        f"{site}/q/1",
        f"{site}/a/2",
    ]
    assert [(one.record_id, one.reason) for one in found if isinstance(one, Dropped)] == [
        (f"{site}/q/4", "low_score"),
        (f"{site}/q/5", "other_tags"),
        (f"{site}/a/7", "low_score"),
    ]
    documents, dropped = collected(dump, answers=True, max_questions=2)
    assert list(documents) == ["q/1", "a/2", "q/4"]
    assert list(dropped) == ["answer_to_what_is_left_out"]
    assert list(collected(dump, tags=["python"])[0]) == ["q/4"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_are_read_like_plain_ones(dump: Path, suffix: str) -> None:
    plain, _ = collected(dump)
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    for name in ("Posts.xml", "PostLinks.xml"):
        content = (dump / name).read_bytes()
        (dump / name).unlink()
        (dump / f"{name.lower()}{suffix}").write_bytes(packed(content))
    assert collected(dump)[0] == plain


def test_a_folder_of_dumps_is_all_their_sites(dump: Path) -> None:
    other = dump.parent / "askubuntu.com"
    other.mkdir()
    (other / "Posts.xml").write_text(xml(POSTS[:1]))
    documents = list(stack_exchange.read(settings(dump.parent), dump))
    groups = [one.group for one in documents if isinstance(one, Document)]
    assert groups == ["askubuntu.com", *["cooking.stackexchange.com"] * 3]


def many(count: int) -> list[dict[str, str]]:
    body = "<p>" + "Some words of a question. " * 20 + "</p>"
    return [
        {"Id": str(n), "PostTypeId": "1", "Title": f"Title {n}", "Body": f"{body}<p>{n}</p>"}
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("at", [0.3, 0.7, 0.999])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_file_cut_in_the_middle_gives_what_stands_before_the_cut(
    dump: Path, suffix: str, at: float
) -> None:
    content = xml(many(2_000)).encode()
    (dump / "Posts.xml").unlink()
    packed = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    whole = packed(content)
    (dump / f"Posts.xml{suffix}").write_bytes(whole[: int(len(whole) * at)])
    documents, dropped = collected(dump)
    told = dropped["cut_short"]
    assert told.record_id == "cooking.stackexchange.com"
    assert "Posts.xml" in told.detail
    assert "bytes" in told.detail
    assert [one.title for one in documents.values()] == [
        f"Title {n + 1}" for n in range(len(documents))
    ]
    if not suffix:
        rows = content[: int(len(content) * at)].count(b"/>")
        assert len(documents) == rows
        assert f"line {rows + 3}" in told.detail


@settings_of_hypothesis(deadline=None, max_examples=60)
@given(st.data())
def test_a_cut_at_any_byte_loses_no_whole_row_and_invents_none(data: st.DataObject) -> None:
    content = xml([post for post in POSTS if post["PostTypeId"] == "1"]).encode()
    at = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "cooking.example.org"
        site.mkdir()
        (site / "Posts.xml").write_bytes(content[:at])
        documents, dropped = collected(site)
    assert len(documents) == content[:at].count(b"/>")
    assert set(dropped) == (set() if content[:at].rstrip().endswith(b"</posts>") else {"cut_short"})


@pytest.mark.parametrize(
    "broken",
    ['  <row Id="2" Body="a" b />', '  <row Id="2" Body="&#x1;" />', "  </row>", "  \x01"],
)
def test_a_file_that_stops_being_xml_gives_what_stands_before_that(dump: Path, broken: str) -> None:
    lines = xml(many(30)).splitlines()
    (dump / "Posts.xml").write_text("\n".join([*lines[:12], broken, *lines[12:]]))
    documents, dropped = collected(dump)
    assert len(documents) == 10
    assert "line 13" in dropped["broken_xml"].detail


def test_a_cut_file_of_links_costs_no_question(dump: Path) -> None:
    content = (dump / "PostLinks.xml").read_text()
    (dump / "PostLinks.xml").write_text(content[: content.index('<row Id="2"')])
    documents, dropped = collected(dump)
    assert documents["q/4"].duplicates
    assert "PostLinks.xml" in dropped["cut_short"].detail


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY b SYSTEM "file:///etc/passwd">',
    ],
)
def test_a_document_type_is_refused_so_that_no_entity_is_expanded(
    dump: Path, declared: str
) -> None:
    row = '<row Id="1" PostTypeId="1" Title="x" Body="&b;" />'
    (dump / "Posts.xml").write_text(f"<!DOCTYPE posts [{declared}]><posts>{row}</posts>")
    with pytest.raises(InputError, match="document type"):
        collected(dump)


def test_a_row_without_an_end_is_broken_and_not_held(dump: Path) -> None:
    (dump / "Posts.xml").write_text('<posts><row Id="1" Body="' + "x" * 30_000_000)
    assert "more than 16 MiB" in collected(dump)[1]["broken_xml"].detail


def test_rows_that_make_no_sense_are_counted(dump: Path) -> None:
    rows = [
        {"PostTypeId": "1", "Title": "x"},
        {"Id": "x", "PostTypeId": "1"},
        {"Id": "9" * 30, "PostTypeId": "1"},
        {"Id": "-4", "PostTypeId": "1"},
        {"Id": "5"},
        {"Id": "6", "PostTypeId": "1", "Body": "<!-- nothing -->"},
        {"Id": "7", "PostTypeId": "1", "Body": "fine"},
    ]
    (dump / "Posts.xml").write_text(xml(rows))
    found = list(stack_exchange.read(settings(dump), dump))
    assert [one.name[-3:] for one in found if isinstance(one, Document)] == ["q/7"]
    reasons = [one.reason for one in found if isinstance(one, Dropped)]
    assert reasons == ["bad_id"] * 4 + ["no_text"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "none", "does not exist"),
        (lambda path: path, r"holds no Posts\.xml.*; cooking\.7z is packed: unpack it with `7z x"),
        (lambda path: path / "cooking.7z", r"cooking\.7z is packed: unpack it with"),
    ],
)
def test_a_place_without_a_dump_is_an_error_that_says_what_to_do(
    tmp_path: Path, make: Any, message: str
) -> None:
    (tmp_path / "cooking.7z").write_bytes(b"7z")
    with pytest.raises(InputError, match=message):
        collected(make(tmp_path))


def test_a_site_that_is_not_known_is_asked_for(dump: Path) -> None:
    folder = dump.rename(dump.parent / "dump")
    with pytest.raises(InputError, match=r"collect\.stack_exchange\.site"):
        collected(folder)
    documents, _ = collected(folder, site="cooking.example.org")
    assert documents["q/1"].url == "https://cooking.example.org/q/1"
    assert list(collected(folder / "Posts.xml", site="cooking.example.org")[0]) == list(documents)


def test_the_fingerprint_follows_content_and_reads_an_unchanged_file_once(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    first = stack_exchange.fingerprint(settings(dump), shelf)
    os.utime(dump / "Posts.xml", (1, 1))
    assert stack_exchange.fingerprint(settings(dump), shelf) == first
    monkeypatch.setattr(stack_exchange, "file_digest", lambda path: pytest.fail(f"{path} is read"))
    assert stack_exchange.fingerprint(settings(dump), shelf) == first
    monkeypatch.undo()
    (dump / "PostLinks.xml").write_text(xml(LINKS[1:], "postlinks"))
    assert stack_exchange.fingerprint(settings(dump), shelf) != first


MEASURED = """
import sys
from pathlib import Path
import psutil
from pipeline.sections import CollectSettings
from pipeline.sources import stack_exchange
settings = CollectSettings(source="stack_exchange", path=sys.argv[1])
most = count = 0
for count, _ in enumerate(stack_exchange.read(settings, Path()), start=1):
    if count % 500 == 0:
        most = max(most, psutil.Process().memory_info().rss)
print(count, most)
"""


def peak(folder: Path) -> tuple[int, int]:
    command = [sys.executable, "-c", MEASURED, str(folder)]
    run = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    count, size = run.stdout.split()
    return int(count), int(size)


def test_memory_does_not_grow_with_the_file(dump: Path) -> None:
    (dump / "PostLinks.xml").unlink()
    peaks = []
    for count in (2_000, 20_000):  # 1 and 12 MB
        (dump / "Posts.xml").write_text(xml(many(count)))
        read, size = peak(dump)
        assert read == count
        peaks.append(size)
    assert peaks[1] < peaks[0] + 4_000_000


@pytest.mark.parametrize(
    ("html", "code", "text"),
    [
        ("plain", "drop", "plain"),
        ("", "drop", ""),
        ("<p>a\n b</p><p>c<br>d</p>", "drop", "a b\n\nc\nd"),
        ("<p>a <code>f(x)</code>:</p><pre><code>f\n</code></pre><p>z</p>", "drop", "a f(x):\n\nz"),
        ("<p>Use:</p><pre><code>f\n  (x)</code></pre><p>z</p>", "keep", "Use:\n\nf\n  (x)\n\nz"),
        ("<ul><li>a</li><li><p>b</p></li></ul>", "drop", "- a\n- b"),
        ("<h2>Head</h2>text<hr>more", "drop", "Head\n\ntext\n\nmore"),
        ("a &lt;b&gt; &amp; c<img src=x alt=y><!-- d --><script>e</script>", "drop", "a <b> & c"),
        ("<p>a <a href='x'>link</a> and <em>so</em> on</p>", "drop", "a link and so on"),
        ("<p>broken <b>markup</p> goes</i> on", "drop", "broken markup\n\ngoes on"),
        ("a\x00\x0bb", "drop", "a b"),
    ],
)  # fmt: skip
def test_a_post_becomes_text(html: str, code: str, text: str) -> None:
    assert posts.prose(html, code) == text


def words(text: str) -> Iterator[str]:
    return (word for word in text.split() if word.isascii() and word.isalnum())


@given(st.lists(st.sampled_from(["<p>", "</p>", "<b>", "</b>", "<ul><li>", "</li></ul>", "<br>",
                                 "word", "two", " ", "\n", "&lt;", "<blockquote>", "</blockquote>",
                                 "<td>", "<pre>", "</pre>", "<", ">"]), max_size=40))  # fmt: skip
def test_markup_of_any_kind_loses_no_word(pieces: list[str]) -> None:
    kept = posts.prose(" ".join(pieces), "keep")
    unclear = {"<", ">"} & set(pieces)
    wanted = [piece for piece in pieces if piece.isalnum()]
    assert unclear or list(words(kept)) == wanted


def test_very_deep_markup_is_no_crash() -> None:
    deep = "<b>" * 50_000 + "deep" + "</b>" * 50_000
    assert posts.prose(deep, "keep") in ("deep", "")
