from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Store
from pipeline.config import parse
from pipeline.errors import ConfigError, InputError, NotEnoughText
from pipeline.records import Document, Dropped, text_id
from pipeline.sources import stage
from tests.site.fixtures import RunningSite, start
from tests.sources.crawl.conftest import Crawl

Found = dict[str, Document | Dropped]


def documents(found: Found) -> list[Document]:
    return [one for one in found.values() if isinstance(one, Document)]


def reasons(found: Found, site: RunningSite) -> dict[str, str]:
    """Return the reason by path of what became no document."""
    dropped = [one for one in found.values() if isinstance(one, Dropped)]
    return {one.record_id.removeprefix(site.url): one.reason for one in dropped}


def paths(found: Found, site: RunningSite) -> set[str]:
    return {one.url.removeprefix(site.url) for one in documents(found)}


def test_a_page_is_a_document_with_its_provenance(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    (page,) = documents(crawl("/docs/2?b=1&a=2", depth=0).run())
    assert page.id == text_id(page.text)
    assert (page.name, page.title, page.group) == ("/docs/2?a=2&b=1", "Page 2", "127.0.0.1")
    assert (page.source, page.url) == ("web", f"{site.url}/docs/2?a=2&b=1")
    assert page.robots == "allowed"
    assert before <= datetime.fromisoformat(page.fetched_at) <= datetime.now(UTC)


def test_every_page_that_is_linked_and_allowed_is_taken_and_nothing_else_is_asked_for(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/").run()
    assert paths(found, site) == {"/", "/private/open", *(f"/docs/{n}" for n in range(20))}
    expected = dict.fromkeys(("/private/a", "/private/b", "/x.secret"), "robots")
    assert reasons(found, site) == expected
    assert sorted(site.asked()) == sorted({"/robots.txt", *paths(found, site)})  # each once


def test_a_crawl_again_transfers_nothing_that_is_unchanged(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/", sitemap=True)
    first, print_ = job.run(), job.fingerprint()
    site.set()
    assert job.run() == first
    assert job.fingerprint() == print_
    assert len(site.asked()) == 25
    assert site.bodies() == 0


def test_a_site_without_entity_tags_is_the_same_when_its_pages_are(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(tags=False)
    job = crawl("/")
    first, print_ = job.run(), job.fingerprint()
    assert job.run() == first
    assert job.fingerprint() == print_


def test_what_changed_is_fetched_and_what_is_gone_leaves_with_a_reason(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/")
    first, print_ = job.run(), job.fingerprint()
    site.set(version=2)
    second = job.run()
    assert job.fingerprint() != print_
    assert site.bodies() == 1
    assert reasons(second, site)["/docs/3"] == "http_404"
    changed = {key for key, one in second.items() if first[key] != one}
    assert changed == {f"{site.url}/docs/2", f"{site.url}/docs/3"}


def test_a_page_that_nobody_links_to_any_more_is_asked_about_again(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/0", depth=1)
    assert "/docs/3" in paths(job.run(), site)
    site.set(unlinked=3)
    assert "/docs/3" in paths(job.run(), site)
    assert site.asked()[-1] == "/docs/3"
    site.set(unlinked=3, version=2)
    assert reasons(job.run(), site)["/docs/3"] == "http_404"
    site.set(unlinked=3, version=2)
    assert "/docs/3" not in reasons(job.run(), site)  # forgotten: nobody names it


def test_a_failure_that_passes_keeps_the_copy(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/1", "/docs/2", depth=0)
    first, print_ = job.run(), job.fingerprint()
    site.set(broken="/docs/2")
    assert job.run() == first
    assert job.fingerprint() == print_
    assert site.asked().count("/docs/2") == 3


def test_a_robots_file_that_closes_a_site_takes_its_pages_out(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/1", depth=0)
    job.run()
    site.set(robots="closed")
    (job.shelf / "mirror.sqlite").unlink()  # with the day for which the old file holds
    assert reasons(job.run(), site) == {"/docs/1": "robots"}


@pytest.mark.parametrize("map_", ["/sitemap.xml", "/index.xml", "/feed", "/atom"])
def test_a_sitemap_or_a_feed_can_be_where_a_crawl_begins(
    crawl: Callable[..., Crawl], site: RunningSite, map_: str
) -> None:
    found = crawl(map_, depth=1).run()
    assert "/mapped/2" in paths(found, site) or map_ == "/feed"
    assert all(path == "/" or path.startswith("/mapped/") for path in paths(found, site))
    assert map_ not in reasons(found, site)


def test_the_sitemap_of_the_site_is_read_if_the_settings_say_so(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/docs/19", sitemap=True).run()
    assert {"/mapped/1", "/mapped/2"} <= paths(found, site)
    assert reasons(found, site)["http://elsewhere.test/"] == "domain"
    assert reasons(found, site)["/private/mapped"] == "robots"


def test_a_sitemap_that_nobody_named_may_be_missing(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(robots="other", sitemap="404")
    found = crawl("/docs/19", depth=0, sitemap=True).run()
    assert "/sitemap.xml" in site.asked()
    assert reasons(found, site) == {"/": "depth", "/private/b": "depth"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "http_404"),
        ("/down", "http_500"),
        ("/bomb", "too_large"),
        ("/huge", "too_large"),
        ("/broken", "broken"),
        ("/brotli", "encoding"),
        ("/cut", "connection"),
        ("/image", "not_text"),
        ("/binary.txt", "binary"),
        ("/to/metadata", "redirect"),
        ("/to/file", "redirect"),
        ("/unlisted", "noindex"),
        ("/private/a", "robots"),
    ],
)
def test_a_page_that_is_not_taken_has_a_reason_and_the_rest_goes_on(
    crawl: Callable[..., Crawl], site: RunningSite, path: str, reason: str
) -> None:
    found = crawl(path, "/docs/19", depth=0, page_megabytes=1).run()
    assert reasons(found, site)[path] == reason
    assert "/docs/19" in paths(found, site)


def test_a_page_that_drips_is_given_up(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    found = crawl("/drip", "/docs/19", depth=0, timeout=0.3).run()
    assert reasons(found, site)["/drip"] == "timeout"
    assert "/docs/19" in paths(found, site)


def test_a_redirect_leads_only_to_where_the_crawl_may_go(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    with start() as secret:
        site.set(secret=f"{secret.url}/docs/1")
        job = crawl(
            "/to/metadata", "/to/file", "/to/secret", domains=["127.0.0.1", "169.254.169.254"]
        )
        found = reasons(job.run(), site)
        assert found["http://169.254.169.254/latest/meta-data/"] == "private_address"
        assert found["file:///etc/passwd"] == "scheme"
        assert found[f"{secret.url}/docs/1"] == "port"
        assert secret.asked() == []


def test_a_redirect_to_this_machine_by_another_address_is_refused(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    mapped = f"http://[::ffff:127.0.0.1]:{site.port}/docs/1"
    site.set(secret=mapped)
    found = crawl("/to/secret", domains=["127.0.0.1", "::ffff:7f00:1"]).run()
    assert list(reasons(found, site).values()) == ["redirect", "private_address"]
    assert "/docs/1" not in site.asked()


def test_a_redirect_out_of_the_domain_says_what_to_allow(
    crawl: Callable[..., Crawl],
) -> None:
    found = crawl("/to/metadata").run()["http://169.254.169.254/latest/meta-data/"]
    assert isinstance(found, Dropped)
    assert (found.reason, found.detail) == (
        "domain",
        "169.254.169.254 is not in collect.web.domains",
    )


def test_five_redirects_are_followed_and_no_more(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    assert paths(crawl("/chain/5").run(), site) == {"/chain/0"}
    site.set()
    found = crawl("/chain/26").run()
    assert paths(found, site) == set()
    assert reasons(found, site)["/chain/20"] == "redirect_limit"
    assert "/chain/20" not in site.asked()


@pytest.mark.parametrize("path", ["/busy", "/limited"])
def test_a_site_that_asks_to_wait_is_left_alone_for_so_long(
    crawl: Callable[..., Crawl], site: RunningSite, path: str
) -> None:
    found = crawl(path, "/docs/19", depth=0).run()
    assert paths(found, site) == {path, "/docs/19"}
    for one, after in itertools.pairwise(site.ledger()):
        if one["status"] in (429, 503):
            assert after["at"] - one["at"] >= 0.99  # Retry-After: 1, for the whole host


def test_a_site_that_wants_to_be_left_alone_for_long_is_left_for_the_next_run(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    site.set(broken="/docs/1", wait="7200")
    job = crawl("/docs/1", "/docs/2", depth=0)
    found = job.run()
    assert list(reasons(found, site).values()) == ["not_reached"]
    site.set()
    job.run()
    assert site.asked() == []  # the two hours are not over


def test_requests_to_a_host_come_no_faster_than_the_rate(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/0", depth=1, rate=20)
    job.run()
    job.run()
    times = [line["at"] for line in site.ledger()]
    assert len(times) == 21
    assert min(after - one for one, after in itertools.pairwise(times)) >= 0.049


def test_hosts_are_read_side_by_side(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    other = f"http://localhost:{site.port}/docs/0"
    crawl("/docs/0", other, depth=1, rate=20).run()
    hosts = [line["host"].partition(":")[0] for line in site.ledger()]
    assert sorted(set(hosts[:6])) == sorted(set(hosts[-6:])) == ["127.0.0.1", "localhost"]


def test_an_endless_calendar_is_cut(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    found = crawl("/calendar/2026/1", "/docs/19", depth=100, pages=500).run()
    assert sum(path.startswith("/calendar") for path in site.asked()) < 60
    assert "trap" in reasons(found, site).values()
    assert "/docs/19" in paths(found, site)


def test_session_ids_make_no_new_pages(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    assert paths(crawl("/session", depth=100).run(), site) == {"/session"}
    assert site.asked().count("/session") == 1


def test_a_link_into_its_own_folder_is_cut(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    found = crawl("/deeper/", depth=100).run()
    assert len(site.asked()) == 4
    assert reasons(found, site)["/deeper/deeper/deeper/deeper/"] == "trap"


def test_a_listing_that_leads_to_new_pages_is_no_trap(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/list/1", depth=100, pages=500).run()
    assert {f"/list/{n}" for n in range(1, 26)} <= set(site.asked())
    assert "trap" not in reasons(found, site).values()


def test_a_page_of_links_alone_is_followed_and_is_no_document(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/menu", depth=1).run()
    assert paths(found, site) == {"/docs/18", "/docs/19"}
    assert reasons(found, site)["/menu"] == "no_text"


def test_very_many_links_of_one_reason_are_counted_in_one_row(
    crawl: Callable[..., Crawl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources.crawl.frontier.LISTED", 3)
    found = crawl("/many").run()
    dropped = [one for one in found.values() if isinstance(one, Dropped)]
    assert [one.reason for one in dropped] == ["domain"] * 4
    assert re.fullmatch(r"97 more links, such as http://elsewhere\d+\.test/", dropped[-1].detail)


def test_texts_in_wrong_encodings_are_read_as_they_were_meant(
    crawl: Callable[..., Crawl],
) -> None:
    texts = {one.name: one.text for one in documents(crawl("/latin", "/charset", depth=0).run())}
    assert "Crème brûlée." in texts["/latin"]
    assert "Überraschung für alle." in texts["/charset"]


def test_odd_bytes_in_headers_do_no_harm(crawl: Callable[..., Crawl], site: RunningSite) -> None:
    job = crawl("/odd", depth=0)
    assert job.run() == job.run()
    assert paths(job.read(), site) == {"/odd"}


def test_patterns_choose_pages_and_the_start_is_read_for_its_links(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/", include=["/docs/*"], exclude=["/docs/1*"]).run()
    assert paths(found, site) == {"/docs/0", *(f"/docs/{n}" for n in range(2, 9))}
    assert reasons(found, site)["/"] == "pattern"
    assert reasons(found, site)["/docs/1"] == "pattern"


def test_no_more_pages_are_taken_than_the_limit(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/", pages=4)
    found = job.run()
    assert len(documents(found)) == 4
    assert "page_limit" in reasons(found, site).values()
    assert len(documents(job.run())) == 4


def test_several_hosts_together_take_no_more_pages_than_the_limit(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    found = crawl("/docs/0", f"http://localhost:{site.port}/docs/0", pages=3).run()
    assert len(documents(found)) == 3
    assert len(site.asked()) == 5


def test_a_run_that_reaches_its_limit_of_bytes_is_gone_on_with(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/", megabytes=0.005)
    counts = [len(documents(job.run()))]
    while "not_reached" in reasons(job.read(), site).values():
        counts.append(len(documents(job.run())))
    assert counts == sorted(set(counts))
    assert counts[0] < counts[-1] == 22
    assert site.bodies() == 23


def test_a_run_that_reaches_its_limit_of_time_is_gone_on_with(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/0", depth=1, rate=4, seconds=1.4)
    first = len(documents(job.run()))
    assert 0 < first < 10
    while "not_reached" in reasons(job.read(), site).values():
        job.run()
    assert len(documents(job.read())) == 10
    assert site.bodies() == 11


def test_what_was_fetched_is_used_as_it_is_by_another_scope(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    crawl("/docs/0", depth=1).run()
    site.set()
    assert len(documents(crawl("/docs/0", depth=2).run())) > 9
    assert sum(line["status"] == 304 for line in site.ledger()) == 10


def test_reading_needs_no_network_and_extracts_nothing_twice(
    crawl: Callable[..., Crawl], site: RunningSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = crawl("/docs/0", depth=1)
    first = job.run()
    site.set()
    monkeypatch.setattr("pipeline.sources.web.extract", None)
    assert job.read() == first
    assert site.asked() == []


def test_what_was_never_crawled_says_so(crawl: Callable[..., Crawl]) -> None:
    job = crawl("/")
    for work in (job.read, job.fingerprint):
        with pytest.raises(InputError, match=r"nothing was crawled .* collect.refresh: true"):
            work()


@pytest.mark.parametrize(("name", "value"), [("contact", " "), ("start", [])])
def test_a_crawl_needs_a_start_and_a_contact(tmp_path: Path, name: str, value: object) -> None:
    job = Crawl(tmp_path, **{"start": ["http://a.test/"], name: value})
    with pytest.raises(ConfigError, match=rf"collect\.web\.{name} is empty"):
        job.run()


@pytest.mark.parametrize(
    ("start_url", "reason"),
    [
        ("/private/a", r"robots 1; first: http://127.0.0.1:\d+/private/a: .*robots.txt disallows"),
        ("/nothing", r"http_404 1; first: .*/nothing: the site answers 404"),
        ("http://127.0.0.1:9/", r"connection 1; first: http://127.0.0.1:9/: Cannot connect"),
        ("http://10.0.0.1/", r"private_address 1; first: .*10.0.0.1 is private"),
        ("what?", r"scheme 1; first: what\?: no scheme"),
    ],
)
def test_a_run_without_a_page_names_the_first_reason(
    crawl: Callable[..., Crawl], store: Store, start_url: str, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = crawl(start_url)
    job.run()
    monkeypatch.setattr(stage, "shelf", lambda _: job.shelf)
    config = parse({"domain": "example", "collect": json.loads(job.settings.model_dump_json())})
    with pytest.raises(NotEnoughText, match=reason):
        stage.run({}, config, store)
