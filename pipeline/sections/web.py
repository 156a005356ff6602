"""Settings of the source that reads web sites."""

from __future__ import annotations

from pydantic import Field

from pipeline.sections.base import Section


class WebSettings(Section):
    """Where a crawl begins, how far it goes, and how politely."""

    start: tuple[str, ...] = Field(
        (), description="http(s) URLs to begin at: pages, sitemaps, RSS or Atom feeds"
    )
    contact: str = Field(
        "", description="e-mail or URL by which a site's owner reaches you; sent with each request"
    )
    user_agent: str = Field(
        "angle-adapt",
        pattern=r"^[A-Za-z_-]{1,64}$",
        description="product token: sent, and looked for in robots.txt",
    )
    sitemap: bool = Field(default=True, description="read the sitemaps of each start URL's site")
    domains: tuple[str, ...] = Field(
        (), description="hosts that may be read, subdomains included; empty: those of `start`"
    )
    include: tuple[str, ...] = Field(
        (), description="globs of URL paths, such as /docs/*; empty: every path"
    )
    exclude: tuple[str, ...] = Field((), description="globs of URL paths that are left out")
    depth: int = Field(6, ge=0, le=100, description="links away from a start URL")
    pages: int = Field(1_000, ge=1, le=10_000_000, description="pages taken at most")
    megabytes: float = Field(
        1_000.0, gt=0, description="bytes received before a run stops; the next one goes on"
    )
    seconds: float = Field(
        14_400.0, gt=0, description="time before a run stops; the next one goes on"
    )
    rate: float = Field(
        1.0, gt=0, le=1_000, description="requests a second to one host; a longer Crawl-delay wins"
    )
    concurrency: int = Field(8, ge=1, le=64, description="hosts that are read at the same time")
    timeout: float = Field(30.0, gt=0, le=600, description="seconds for one page, all in all")
    page_megabytes: float = Field(
        5.0, gt=0, le=100, description="largest page, as received and unpacked"
    )
    allow_loopback: bool = Field(
        default=False, description="read 127.0.0.0/8 and ::1 too; for tests alone"
    )
