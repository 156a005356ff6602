from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.sections import WebSettings
from pipeline.sources.crawl.locations import Refused, Scope, canonical, is_page, path_of, template

BASE = "https://site.test/guide/start.html"


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("next.html", "https://site.test/guide/next.html"),
        ("/a/./b/../c", "https://site.test/a/c"),
        ("//other.test/x", "https://other.test/x"),
        ("HTTPS://SITE.test:443/A#part", "https://site.test/A"),
        ("http://site.test:80", "http://site.test/"),
        ("http://site.test:8080/", "http://site.test:8080/"),
        ("https://site.test./x", "https://site.test/x"),
        ("?b=2&a=1", "https://site.test/guide/start.html?a=1&b=2"),
        ("/p?utm_source=x&id=7&fbclid=y", "https://site.test/p?id=7"),
        ("/p?sid=0123456789abcdef&id=7", "https://site.test/p?id=7"),
        ("/p;jsessionid=0A1B2C?id=7", "https://site.test/p?id=7"),
        ("/talks?session=2", "https://site.test/talks?session=2"),
        (" \n/a\tb\r\n", "https://site.test/ab"),
        ("/ü", "https://site.test/%C3%BC"),
        ("https://münchen.test/", "https://xn--mnchen-3ya.test/"),
        ("", "https://site.test/guide/start.html"),
    ],
)
def test_a_page_has_one_spelling(href: str, expected: str) -> None:
    assert canonical(href, BASE) == expected


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("ftp://site.test/x", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://site.test/", "scheme"),
        ("http://user:secret@site.test/", "userinfo"),
        ("http://user@site.test/", "userinfo"),
        ("http://site.test:99999/", "bad_url"),
        ("http://a.test\\@b.test/", "bad_url"),
        ("http://[::1/", "bad_url"),
    ],
)
def test_what_is_no_address_of_a_page_has_a_reason(href: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        canonical(href, BASE)
    assert caught.value.reason == reason


def test_without_a_base_a_path_is_no_address() -> None:
    with pytest.raises(Refused):
        canonical("/path")


@given(st.text(max_size=60) | st.text("ab./%?&=;#:@[]\\\ud800 é\n", max_size=40))
@example("http://a/%2e%2e/%2F?a=%26&b=+")
@example("?a&b=&=c")
def test_the_spelling_of_a_spelling_is_itself(href: str) -> None:
    try:
        once = canonical(href, BASE)
    except Refused:
        return
    assert canonical(once) == once
    assert "#" not in once


def test_links_to_mailboxes_and_scripts_are_no_pages() -> None:
    assert not any(map(is_page, ("mailto:a@b.c", " JavaScript:void(0)", "tel:1", "data:,x")))
    assert is_page("/a")


def scope(**settings: object) -> Scope:
    return Scope.of(WebSettings.model_validate({"start": ["https://www.site.test/"], **settings}))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://site.test/a", ""),
        ("https://docs.site.test/a", ""),
        ("http://www.site.test:80/a", ""),
        ("https://evilsite.test/", "domain"),
        ("https://site.test.evil/", "domain"),
        ("https://site.test:22/", "port"),
        ("https://site.test:6379/", "port"),
        ("https://site.test/" + "a/" * 21, "trap"),
        ("https://site.test/a/b/a/b/a/b/a/b", "trap"),
        ("https://site.test/?q=" + "a" * 2_000, "trap"),
        ("https://site.test/blog/x", "pattern"),
        ("https://site.test/docs/old/x", "pattern"),
        ("https://site.test/docs/new/x", ""),
    ],
)
def test_a_link_is_followed_within_reach_alone(url: str, reason: str) -> None:
    reach = scope(include=["/a*", "/docs/*", "/"], exclude=["*/old/*"])
    try:
        reach.check(url, 1)
        found = ""
    except Refused as refusal:
        found = refusal.reason
    assert found == reason


def test_more_links_from_the_start_than_the_depth_are_too_many() -> None:
    with pytest.raises(Refused, match="depth"):
        scope(depth=2).check("https://site.test/", 3)


def test_the_ports_of_start_urls_may_be_spoken_to() -> None:
    assert scope(start=["http://site.test:8080/"]).ports == {80, 443, 8080}


def test_domains_that_are_given_replace_those_of_the_start() -> None:
    assert scope(domains=["Other.test."]).domains == ("other.test",)


def test_pages_that_differ_in_numbers_have_one_template() -> None:
    urls = ["http://a.test/c/2024/1?x=1", "http://a.test/c/1999/12?x=2", "http://a.test/c/1/1?y=3"]
    assert len({template(url) for url in urls}) == 1
    assert template("http://a.test/c/x") != template("http://a.test/c/y")


def test_a_path_is_written_as_people_read_it() -> None:
    assert path_of("https://site.test/%C3%BC/a?b=1") == "/ü/a?b=1"
