"""What the site holds: a tree of pages with text, a robots.txt, sitemaps and a feed."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from tests.site.wire import Asked, Reply, html, plain

CHILDREN: Final = 8  # links down from each page of the tree
_WORDS: Final = (
    "river", "bridge", "engine", "garden", "winter", "letter", "window", "market", "teacher",
    "island", "copper", "thunder", "shadow", "village", "compass", "harvest", "lantern",
    "meadow", "anchor", "kitchen", "voyage", "planet", "library", "orchard", "signal",
    "carpet", "feather", "mountain", "station", "candle", "harbour", "journey", "pepper",
    "saddle", "temple", "violin", "whisper",
)  # fmt: skip


class State(NamedTuple):
    """How the site behaves at present."""

    pages: int = 20
    robots: str = "rules"  # a name in ROBOTS, or a status
    version: int = 1
    tags: bool = True  # whether pages have entity tags
    secret: str = ""  # a URL on another port, for redirects
    broken: str = ""  # a path that answers 503
    wait: str = "0"  # the Retry-After of what is broken
    unlinked: int = -1  # a page of the tree that no page links to
    sitemap: str = "200"  # the status of /sitemap.xml


ROBOTS: Final = {
    "rules": (
        "User-agent: *\nDisallow: /private/\nDisallow: /*.secret$\nAllow: /private/open\n"
        "Sitemap: /sitemap.xml\n"
    ),
    "measured": "User-agent: *\nDisallow: /private/\nCrawl-delay: 0.02\n",
    "slow": "User-agent: *\nCrawl-delay: 0.3\n",
    "closed": "User-agent: *\nDisallow: /\n",
    "other": "User-agent: another\nDisallow: /\n",
}


def prose(name: str, sentences: int = 8) -> str:
    """Return paragraphs that are the same for the same name."""
    draw = random.Random(name)
    lines = [
        " ".join(draw.choices(_WORDS, k=draw.randint(8, 14))).capitalize() + "."
        for _ in range(sentences)
    ]
    half = sentences // 2
    return f"<p>{' '.join(lines[:half])}</p><p>{' '.join(lines[half:])}</p>"


def links(*targets: str) -> str:
    return (
        "<ul>"
        + "".join(f'<li><a href="{target}">{target}</a></li>' for target in targets)
        + "</ul>"
    )


def home(asked: Asked, state: State) -> Reply:  # noqa: ARG001 - every route has this shape
    return html(
        "Home", prose("home") + links("/docs/0", "/private/open", "/private/a", "/x.secret")
    )


def docs(asked: Asked, state: State) -> Reply:
    """Return a page of the tree; the second version has changed one and lost another."""
    number = int(asked.path.rpartition("/")[2])
    gone = state.version > 1 and number == 3
    if number >= state.pages or gone:
        return Reply(404, {}, b"not found")
    below = range(number * CHILDREN + 1, number * CHILDREN + CHILDREN + 1)
    changed = f" version {state.version}" if number == 2 else ""
    down = [f"/docs/{child}" for child in below if child < state.pages and child != state.unlinked]
    return html(f"Page {number}", prose(f"{number}{changed}") + links("/", *down, "/private/b"))


def private(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return html("Private", prose(asked.path))


def robots(asked: Asked, state: State) -> Reply:
    if state.robots in ROBOTS:
        text = ROBOTS[state.robots].replace("Sitemap: ", f"Sitemap: http://{asked.headers['host']}")
        return plain(text)
    if state.robots.startswith("http"):
        return Reply(302, {"Location": state.robots})
    return Reply(int(state.robots), {"Retry-After": "0"}, b"none")


def sitemap(asked: Asked, state: State) -> Reply:
    if state.sitemap != "200":
        return Reply(int(state.sitemap), {}, b"none")
    root = f"http://{asked.headers['host']}"
    urls = [
        f"{root}/mapped/1",
        f"{root}/mapped/2",
        f"{root}/private/mapped",
        "http://elsewhere.test/",
    ]
    entries = "".join(f"<url><loc>{url}</loc></url>" for url in urls)
    text = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'
    return plain(text, "application/xml")


def sitemap_index(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    root = f"http://{asked.headers['host']}"
    text = f"<sitemapindex><sitemap><loc>{root}/sitemap.xml</loc></sitemap></sitemapindex>"
    return plain(text, "text/xml")


def feed(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    items = "".join(f"<item><link>/mapped/{n}</link></item>" for n in (1, 3))
    return plain(f"<rss><channel><link>/</link>{items}</channel></rss>", "application/rss+xml")


def atom(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    entry = '<entry><link rel="self" href="/no"/><link href="/mapped/2"/></entry>'
    text = f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>'
    return plain(text, "application/atom+xml")


def mapped(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return html(f"Mapped {asked.path}", prose(asked.path))


def many(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return html("Many", prose("many") + links(*(f"http://elsewhere{n}.test/" for n in range(100))))


def listing(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Return a page of a list: nothing but links, to a new page and to the next of the list."""
    number = int(asked.path.rpartition("/")[2])
    more = [f"/list/{number + 1}"] if number < 25 else []
    return html("List", links(f"/word{number}/x", *more))


def menu(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Return a page without a word of its own."""
    return html("", '<a href="/docs/18"><img></a><a href="/docs/19"><img></a>')
