"""What lies elsewhere is fetched by the first run, and never by the check before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import execution, planning
from pipeline.errors import ConfigError, InputError, NotFetchedError
from pipeline.settings import HOME_VARIABLE
from tests.site.fixtures import start

TEXT = """domain: site
collect:
  source: web
  {more}
  web:
    {{start: [{url}/docs/0], contact: a@example.org, rate: 1000, depth: 20, allow_loopback: true}}
mine: {{texts: 60, pairs: 30}}
"""


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def written(folder: Path, url: str, more: str = "licence: CC0-1.0") -> str:
    path = folder / "site.yaml"
    path.write_text(TEXT.format(url=url, more=more))
    return str(path)


def test_a_site_that_nobody_crawled_yet_can_be_planned_and_is_crawled_once(tmp_path: Path) -> None:
    with start(40) as site:
        domain = written(tmp_path, site.url)
        execution.check(domain, ())
        assert site.ledger() == []
        assert planning.make(domain, ()).documents >= 40
        assert site.bodies() > 40
        execution.check(domain, ())


def test_without_fetching_what_was_never_fetched_is_an_error_at_once(tmp_path: Path) -> None:
    domain = written(tmp_path, "http://127.0.0.1:9", "refresh: false")
    with pytest.raises(NotFetchedError, match=r"collect\.refresh: true"):
        execution.check(domain, ())


def test_settings_that_no_crawl_can_use_are_an_error_before_any_crawl(tmp_path: Path) -> None:
    domain = written(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="contact"):
        execution.check(domain, ("collect.web.contact=''",))


@pytest.mark.parametrize(
    "collect",
    [
        "{source: huggingface, path: someone/some-texts}",
        "{source: files, path: 's3://bucket/texts'}",
        "{source: github, github: {repositories: [a/b]}}",
    ],
)
def test_no_source_elsewhere_has_to_be_fetched_before_a_run_is_checked(
    tmp_path: Path, collect: str
) -> None:
    path = tmp_path / "elsewhere.yaml"
    path.write_text(f"domain: elsewhere\ncollect: {collect}\n")
    execution.check(str(path), ())


def test_a_file_that_is_not_here_is_still_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "here.yaml"
    path.write_text("domain: here\ncollect: {source: files, path: nowhere/at/all}\n")
    with pytest.raises(InputError, match="nowhere/at/all"):
        execution.check(str(path), ())
