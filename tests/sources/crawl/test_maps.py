from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.crawl.maps import LINKS, NotAMap, read_map

SIZE = 5_000_000
URLSET = (
    '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    "<url><loc> http://a.test/1 </loc><lastmod>2026-01-01</lastmod></url>"
    "<url><loc>http://a.test/2?x=1&amp;y=2</loc></url><url><loc>http://a.test/1</loc></url>"
    "</urlset>"
)


def test_the_pages_of_a_sitemap_come_once_each_in_order() -> None:
    assert read_map(URLSET.encode(), SIZE).pages == ("http://a.test/1", "http://a.test/2?x=1&y=2")


def test_a_packed_sitemap_is_unpacked() -> None:
    assert read_map(gzip.compress(URLSET.encode()), SIZE) == read_map(URLSET.encode(), SIZE)


def test_a_sitemap_packed_as_a_bomb_is_refused() -> None:
    with pytest.raises(NotAMap, match="unpacked"):
        read_map(gzip.compress(b"<urlset>" + b" " * 100_000_000), SIZE)


def test_an_index_names_sitemaps() -> None:
    text = b"<sitemapindex><sitemap><loc>http://a.test/s.xml</loc></sitemap></sitemapindex>"
    found = read_map(text, SIZE)
    assert (found.pages, found.maps) == ((), ("http://a.test/s.xml",))


@pytest.mark.parametrize(
    "text",
    [
        "<rss><channel><link>/no</link><item><title>x</title><link>/yes</link></item></channel></rss>",
        '<rdf:RDF xmlns:rdf="r" xmlns="s"><item><link>/yes</link></item></rdf:RDF>',
        '<feed xmlns="http://www.w3.org/2005/Atom"><link href="/no"/><entry>'
        '<link rel="edit" href="/no"/><link rel="alternate" href="/yes"/></entry></feed>',
    ],
)
def test_the_entries_of_a_feed_are_its_pages(text: str) -> None:
    assert read_map(text.encode(), SIZE).pages == ("/yes",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<html><body/></html>", "neither a sitemap nor a feed"),
        ("<urlset><url>", "no element found"),
        ("", "no element found"),
        ('<!DOCTYPE urlset [<!ENTITY a "x">]><urlset>&a;</urlset>', "declares entities"),
        (
            '<!DOCTYPE urlset [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset>'
            "<url><loc>&a;</loc></url></urlset>",
            "declares entities",
        ),
        ('<?xml version="1.0" encoding="klingon"?><urlset/>', "cannot be read"),
    ],
)
def test_what_is_no_map_says_why(text: str, why: str) -> None:
    with pytest.raises(NotAMap, match=why):
        read_map(text.encode(), SIZE)


def test_a_map_gives_no_more_links_than_the_protocol_allows() -> None:
    entries = "".join(f"<url><loc>/{n}</loc></url>" for n in range(LINKS + 10))
    assert len(read_map(f"<urlset>{entries}</urlset>".encode(), SIZE).pages) == LINKS


def test_forty_thousand_attributes_take_no_time() -> None:
    attributes = " ".join(f'a{n}="x"' for n in range(40_000))
    begin = time.monotonic()
    assert read_map(f"<urlset {attributes}/>".encode(), SIZE).pages == ()
    assert time.monotonic() - begin < 2


@given(st.binary(max_size=200) | st.text("<>/urlset&;![]\"' ", max_size=80).map(str.encode))
def test_whatever_comes_is_a_map_or_a_reason(data: bytes) -> None:
    try:
        read_map(data, SIZE)
    except NotAMap as reason:
        assert str(reason)
