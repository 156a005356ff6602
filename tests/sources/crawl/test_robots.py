from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from pipeline.records import Document, Dropped
from pipeline.sources.crawl.mirror import Mirror
from pipeline.sources.crawl.robots import Robots, Rules
from tests.site.fixtures import RunningSite, start
from tests.sources.crawl.conftest import Crawl

ROOT = "https://site.test"


def allowed(text: str, path: str, agent: str = "angle-adapt") -> bool:
    return Rules(Robots(ROOT, 200, text), agent).allows(ROOT + path)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("user-AGENT: *\ndisALLOW: /a", "/a/b", False),
        ("User-agent: *\nDisallow: /a", "/b", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf?z", True),
        ("User-agent: *\nDisallow: /%C3%BC", "/ü", False),
        ("User-agent: *\nDisallow: /a # all of it", "/a", False),
        ("User-agent: other\nDisallow: /", "/a", True),
        ("User-agent: Angle-Adapt\nDisallow: /a\n\nUser-agent: *\nAllow: /", "/a", False),
        ("User-agent: angle-adapt\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a", True),
        ("User-agent: a\nUser-agent: angle-adapt\nDisallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /a\n\nUser-agent: *\nDisallow: /b", "/b", False),
        ("Disallow: /a", "/a", True),
        ("<html>not a robots.txt</html>", "/a", True),
        ("\x00\xff\nUser-agent: *\r\nDisallow: /a\r", "/a", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
    ],
)
def test_rules_are_read_as_rfc_9309_says(text: str, path: str, expected: bool) -> None:  # noqa: FBT001
    assert allowed(text, path) is expected


def test_the_longer_of_crawl_delay_and_request_rate_is_the_delay() -> None:
    text = "User-agent: *\nCrawl-delay: 2\nRequest-rate: 1/5"
    assert Rules(Robots(ROOT, 200, text), "angle-adapt").delay == 5
    assert Rules(Robots(ROOT, 200, ""), "angle-adapt").delay == 0


@pytest.mark.parametrize("status", ["404", "403", "401", "410", "400"])
def test_no_robots_file_allows_everything(
    crawl: Callable[..., Crawl], site: RunningSite, status: str
) -> None:
    site.set(robots=status)
    page = crawl("/private/a").run()[f"{site.url}/private/a"]
    assert isinstance(page, Document)
    assert page.robots == f"no robots.txt ({status})"


@pytest.mark.parametrize("status", ["500", "503", "429", "408"])
def test_a_robots_file_that_cannot_be_had_forbids_everything(
    crawl: Callable[..., Crawl], site: RunningSite, status: str
) -> None:
    site.set(robots=status)
    page = crawl("/").run()[f"{site.url}/"]
    assert isinstance(page, Dropped)
    assert page.reason == "robots_unreachable"
    assert set(site.asked()) == {"/robots.txt"}
    assert len(site.asked()) == 3  # tries


def test_a_robots_file_is_followed_to_where_it_moved(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    with start() as other:
        other.set(robots="closed")
        site.set(robots=f"http://localhost:{other.port}/robots.txt")
        found = crawl("/", f"http://localhost:{other.port}/x").run()[f"{site.url}/"]
        assert isinstance(found, Dropped)
        assert found.reason == "robots"
        assert set(other.asked()) == {"/robots.txt"}


def test_a_robots_file_that_redirects_for_ever_forbids_everything(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(robots=f"{site.url}/robots.txt")
    found = crawl("/").run()[f"{site.url}/"]
    assert isinstance(found, Dropped)
    assert found.reason == "robots_unreachable"


def test_a_robots_file_is_asked_for_once_a_day(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/1", depth=0)
    job.run()
    job.run()
    assert site.asked().count("/robots.txt") == 1
    with Mirror(job.shelf / "mirror.sqlite") as mirror:
        mirror.rows("update robots set fetched = ?", (time.time() - 25 * 3_600,))
    job.run()
    assert site.asked().count("/robots.txt") == 2


def test_a_longer_crawl_delay_wins_over_our_rate(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(robots="slow")
    crawl("/docs/1", "/docs/2", "/docs/4", depth=0).run()
    times = [line["at"] for line in site.ledger()]
    assert len(times) == 4
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.29


def test_a_shorter_crawl_delay_does_not_make_us_faster(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(robots="slow")
    crawl("/docs/1", "/docs/2", depth=0, rate=2).run()
    times = [line["at"] for line in site.ledger()]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.49
