from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import ArtifactError
from pipeline.records import Document
from pipeline.sources import web
from pipeline.sources.crawl.mirror import Mirror, Page, digest_of
from pipeline.sources.extraction import Extracted, Failed
from tests.site.fixtures import CHECKOUT, RunningSite, start
from tests.sources.crawl.conftest import Crawl

BODY = b"<p>A page.</p>"
PAGE = Page("http://a.test/", digest_of(BODY), "html", "utf-8", '"e"', "", "then", "now", "allowed")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror.sqlite") as opened:
        yield opened


@pytest.fixture
def large_site() -> Iterator[RunningSite]:
    with start(pages=60) as site:
        yield site


def test_a_page_comes_back_as_it_was_saved(mirror: Mirror) -> None:
    assert mirror.page(PAGE.url) is None
    mirror.save(PAGE, BODY)
    assert mirror.page(PAGE.url) == PAGE
    assert mirror.body(PAGE.digest) == BODY


def test_an_empty_page_is_a_page(mirror: Mirror) -> None:
    page = PAGE._replace(digest=digest_of(b""))
    mirror.save(page, b"")
    assert mirror.page(page.url) == page
    assert mirror.body(page.digest) == b""


@pytest.mark.parametrize("found", [Extracted("text", links=("a", "b")), Failed("no_text", "why")])
def test_what_was_extracted_is_known_to_the_same_version_alone(
    mirror: Mirror, found: Extracted | Failed
) -> None:
    mirror.keep_extracted(PAGE, 1, found)
    assert mirror.extracted(PAGE, 1) == found
    assert mirror.extracted(PAGE, 2) is None


def test_a_page_whose_worker_died_is_tried_again(mirror: Mirror) -> None:
    mirror.keep_extracted(PAGE, 1, Failed("worker_died"))
    assert mirror.extracted(PAGE, 1) is None


def test_a_body_that_is_not_what_was_fetched_is_an_error(mirror: Mirror) -> None:
    mirror.save(PAGE, BODY)
    mirror.rows("update body set data = ?", (b"x\x9c\x03\x00",))
    with pytest.raises(ArtifactError, match=r"mirror\.sqlite is damaged .*remove it"):
        mirror.body(PAGE.digest)


def test_a_file_that_is_no_mirror_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mirror.sqlite"
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(ArtifactError, match="remove it"):
        Mirror(path)


def test_a_transaction_that_fails_leaves_nothing(mirror: Mirror) -> None:
    def fail() -> None:
        with mirror.transaction():
            mirror.save(PAGE, BODY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert mirror.page(PAGE.url) is None


def test_bodies_that_no_page_has_are_forgotten(
    crawl: Callable[..., Crawl], site: RunningSite
) -> None:
    job = crawl("/docs/2", depth=0)
    job.run()
    site.set(version=2)
    job.run()
    with Mirror(job.shelf / "mirror.sqlite") as mirror:
        assert len(mirror.rows("select * from body")) == 1
        assert len(mirror.rows("select * from extracted")) == 1


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_crawl_that_is_ended_goes_on_where_it_was(
    tmp_path: Path, large_site: RunningSite, ending: signal.Signals
) -> None:
    job = Crawl(tmp_path, start=[f"{large_site.url}/docs/0"], rate=40, depth=3)
    for requests in (5, 20, 40):
        command = [sys.executable, "-m", "tests.sources.crawl.killing", str(tmp_path)]
        process = subprocess.Popen(
            [*command, job.settings.model_dump_json()], cwd=CHECKOUT, stderr=subprocess.DEVNULL
        )
        while len(large_site.ledger()) < requests:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(ending)
        process.wait(30)
    assert sum(isinstance(one, Document) for one in job.run().values()) == 62
    asked = [path for path in large_site.asked() if path != "/robots.txt"]
    again = len(asked) - len(set(asked))
    assert again <= (3 if ending == signal.SIGKILL else 0)  # what was on its way when it was killed


def test_two_crawls_at_once_take_turns(tmp_path: Path, large_site: RunningSite) -> None:
    job = Crawl(tmp_path, start=[f"{large_site.url}/docs/0"], rate=100, depth=1)
    command = [sys.executable, "-m", "tests.sources.crawl.killing", str(tmp_path)]
    processes = [
        subprocess.Popen([*command, job.settings.model_dump_json()], cwd=CHECKOUT) for _ in range(2)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert large_site.bodies() == 11
    assert web.fingerprint(job.settings, tmp_path)
