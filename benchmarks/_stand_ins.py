"""Sources made for a benchmark, of real sentences, that say what was put into them.

A source holds accounts of things that real documents describe. Some things are described twice, as
people would who did not see each other's report: one account has the odd sentences of the document,
the other the even ones, and the source calls the later one a duplicate of the earlier.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import quoteattr

from pipeline.records import digest_of
from pipeline.sections import CollectSettings
from pipeline.sentences import lead, sentences
from pipeline.sources import python_docs
from tests.sources.github.running import at

LEAST: Final = 4  # sentences of a document that an account is made of
TWICE: Final = 6  # sentences of a document that two are made of
SITE: Final = "python.stackexchange.com"
_TITLE: Final = 12  # words
_EVERY: Final = 5  # accounts to a pull request, an unwanted post, a row without text
_BOT: Final = "This issue lists the updates and the dependencies that the bot has found here."
_SPREAD: Final = 10_007  # a prime: changes come in another order than numbers


class Thing(NamedTuple):
    """What is written about: its name, what it is part of, and sentences about it."""

    name: str
    family: str
    said: Sequence[str]


class Account(NamedTuple):
    """What somebody wrote; ``of`` is the place in the list of what it duplicates, or -1."""

    title: str
    said: Sequence[str]
    of: int = -1


class Planted(NamedTuple):
    """What a source holds: its documents' names, its duplicates, and how much is no document."""

    names: frozenset[str]
    links: frozenset[tuple[str, str]]
    left_out: Mapping[str, int]

    def plus(self, other: Planted) -> Planted:
        """Return what two sources hold together."""
        reasons = {*self.left_out, *other.left_out}
        left = {one: self.left_out.get(one, 0) + other.left_out.get(one, 0) for one in reasons}
        return Planted(self.names | other.names, self.links | other.links, left)


NOTHING: Final = Planted(frozenset(), frozenset(), {})


def python_things() -> list[Thing]:
    """Return what the standard library documents at some length, a module after the other."""
    found = python_docs.read(CollectSettings(), Path())
    return _distinct((one.name, one.name.partition(".")[0], one.text) for one in found)


def paper_things(path: Path) -> list[Thing]:
    """Return the longer paragraphs of a table of papers, a paper after the other."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    rows = pq.read_table(path).to_pylist()
    return _distinct((f"{row['doc_id']}-{row['para']}", row["doc_id"], row["text"]) for row in rows)


def accounts(things: Sequence[Thing], twice: int) -> list[Account]:
    """Return an account of each thing, and second ones of the ``twice`` that have most to say."""
    ordered = sorted(things, key=lambda thing: -len(thing.said))
    told = [thing for thing in ordered[:twice] if len(thing.said) >= TWICE]
    rest = ordered[len(told) :]
    first = [_account(thing.said[::2]) for thing in told]
    second = [
        Account(f"What does {thing.name} do?", thing.said[1::2], place)
        for place, thing in enumerate(told)
    ]
    return [*first, *(_account(thing.said) for thing in rest), *second]


def repository(name: str, told: Sequence[Account]) -> tuple[dict[str, Any], Planted]:
    """Return a repository as the stand-in of GitHub holds it, and what is in it.

    Duplicates are known in three ways: from the GraphQL API, from a maintainer's comment on an
    issue with the label, and from one that closes an issue in favour of another. The last issue is
    of a bot, which writes the same in every repository.
    """
    told = [*told, Account("Updates", [_BOT])]
    issues = [_issue(number, account) for number, account in enumerate(told, start=1)]
    pulls = range(len(told) + 1, len(told) + 1 + len(told) // _EVERY)
    issues += [_issue(n, told[n - len(told)]) | {"pull_request": {"url": "x"}} for n in pulls]
    empty = {"number": pulls.stop, "title": "", "body": "", "updated_at": _changed(pulls.stop)}
    pairs = {number: told[number - 1].of + 1 for number in _duplicates(told)}
    held = {
        "issues": [*issues, empty],
        "canonical": {str(n): f"{name}#{of}" for n, of in pairs.items() if n % 3 == 0},
        "timelines": {str(n): _timeline(n, of) for n, of in pairs.items() if n % 3},
    }
    names = frozenset(f"{name}#{number}" for number in range(1, len(told) + 1))
    links = frozenset((f"{name}#{number}", f"{name}#{of}") for number, of in pairs.items())
    return held, Planted(names, links, {"pull_request": len(pulls), "no_text": 1})


def dump(folder: Path, told: Sequence[Account]) -> Planted:
    """Write Posts.xml and PostLinks.xml of a site into ``folder`` and return what is in them."""
    rows, links = [], []
    for number, account in enumerate(told, start=1):
        rows += _posts(number, account)
        if account.of >= 0:
            links.append({"PostId": number, "RelatedPostId": account.of + 1, "LinkTypeId": 3})
        elif number > 1:
            links.append({"PostId": number, "RelatedPostId": number - 1, "LinkTypeId": 1})
    low = len(told) // _EVERY
    rows += [
        _question(2 * len(told) + extra, told[extra]) | {"Score": -7} for extra in range(1, low + 1)
    ]
    folder.mkdir(parents=True)
    _write_xml(folder / "Posts.xml", "posts", rows)
    numbered = [{"Id": place} | link for place, link in enumerate(links, start=1)]
    _write_xml(folder / "PostLinks.xml", "postlinks", numbered)
    return _planted(told, f"{SITE}/q/{{}}", {"low_score": low})


def dataset(folder: Path, told: Sequence[Account]) -> Planted:
    """Write a data set as it comes from the Hub, in two shards, and return what is in it."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [
        {"id": f"row-{number}", "text": " ".join(account.said), "title": account.title,
         "duplicate_of": [f"row-{account.of + 1}"] if account.of >= 0 else []}
        for number, account in enumerate(told, start=1)
    ]  # fmt: skip
    text = pa.string()
    fields = {"id": text, "text": text, "title": text, "duplicate_of": pa.list_(text)}
    (folder / "data").mkdir(parents=True)
    for shard in range(2):
        place = folder / "data" / f"train-{shard:05}-of-00002.parquet"
        half = len(rows) // 2
        part = rows[half:] if shard else rows[:half]
        table = pa.Table.from_pylist(part, schema=pa.schema(fields))
        pq.write_table(table, place)
    return _planted(told, "row-{}", {})


def _distinct(found: Iterable[tuple[str, str, str]]) -> list[Thing]:
    """Return those of several sentences, none with a first sentence that another has."""
    firsts: dict[str, Thing] = {}
    for name, family, text in found:
        said = sentences(text)
        if len(said) >= LEAST:
            firsts.setdefault(said[0].lower(), Thing(name, family, said))
    return sorted(firsts.values(), key=lambda one: (digest_of("family", one.family), one.name))


def _account(said: Sequence[str]) -> Account:
    return Account(lead(said[-1], _TITLE), said[:-1])


def _duplicates(told: Sequence[Account]) -> list[int]:
    return [number for number, account in enumerate(told, start=1) if account.of >= 0]


def _planted(told: Sequence[Account], name: str, left_out: Mapping[str, int]) -> Planted:
    names = frozenset(name.format(number) for number in range(1, len(told) + 1))
    links = frozenset(
        (name.format(number), name.format(told[number - 1].of + 1)) for number in _duplicates(told)
    )
    return Planted(names, links, left_out)


def _issue(number: int, account: Account) -> dict[str, Any]:
    contact = f"\n\nWrite to reporter{number}@example.org." if number % _EVERY == 0 else ""
    body = (
        "<!-- Thank you for the report. -->\n### What happens?\n\n"
        f"{' '.join(account.said)}{contact}"
        f"\n\n```\n$ python report.py --case {number}\nTraceback (most recent call last):\n```\n\n"
        "- [ ] I have searched for the same issue\n"
    )
    issue = {
        "number": number, "title": account.title, "body": body, "updated_at": _changed(number)
    }  # fmt: skip
    if account.of < 0:
        return issue
    labels = [{"name": "duplicate"}] if number % 3 == 1 else []
    reason = "completed" if labels else "duplicate"
    return issue | {"state": "closed", "state_reason": reason, "labels": labels, "comments": 2}


def _timeline(number: int, of: int) -> list[dict[str, Any]]:
    said = f"Duplicate of #{of}" if number % 3 == 1 else f"Closing in favour of #{of}."
    return [
        {"event": "commented", "body": "Same here.", "author_association": "NONE"},
        {"event": "commented", "body": said, "author_association": "MEMBER"},
    ]


def _changed(number: int) -> str:
    return at(number * 7_919 % _SPREAD)


def _posts(number: int, account: Account) -> list[dict[str, Any]]:
    """Return a question, and for some an answer or the description of a tag."""
    own = _question(number, account)
    kind = {0: {"PostTypeId": 2, "ParentId": number}, 1: {"PostTypeId": 5}}.get(number % _EVERY)
    if kind is None:
        return [own]
    body = f"<p>{html.escape(account.said[-1])}</p>"
    return [own, {"Id": 10_000 + number, **kind, "Score": 1, "Body": body}]


def _question(number: int, account: Account) -> dict[str, Any]:
    said = "".join(f"<p>{html.escape(sentence)}</p>\n" for sentence in account.said)
    return {
        "Id": number, "PostTypeId": 1, "Score": number % 9, "Tags": "<python><library>",
        "Title": account.title, "Body": f"{said}<pre><code>f({number})</code></pre>",
        "ContentLicense": "PSF-2.0",
    }  # fmt: skip


def _write_xml(path: Path, root: str, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [
        "  <row " + " ".join(f"{key}={quoteattr(str(value))}" for key, value in row.items()) + " />"
        for row in rows
    ]
    head = '<?xml version="1.0" encoding="utf-8"?>'
    path.write_text("\n".join([head, f"<{root}>", *lines, f"</{root}>", ""]), encoding="utf-8")
