"""Questions of Stack Exchange data dumps, and which of them were closed as duplicates.

``collect.path`` is the folder of a site, or a folder of such folders. Posts.xml is read as a stream
from beginning to end; of PostLinks.xml only the links between duplicates (LinkTypeId 3) are held,
16 bytes each. The columns are described at https://meta.stackexchange.com/questions/2677.

A document is the body of a question, its title beside it. Posts that could be documents and are not
wanted (by tags, by score) are dropped with their reason; posts of other kinds are only logged, as
are those beyond ``max_questions``.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline import config as configuration
from pipeline.disk import file_digest, write_atomically
from pipeline.errors import InputError
from pipeline.records import Document, Dropped, digest_of, text_id
from pipeline.sections import CollectSettings
from pipeline.sources import dumps, posts
from pipeline.sources.dumps import Cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

SOURCE: Final = "stack_exchange"
STAGE: Final = "collect"
POSTS: Final = "Posts.xml"
LINKS: Final = "PostLinks.xml"
_QUESTION, _ANSWER = "1", "2"
_DUPLICATE: Final = "3"
_UNPACK: Final = "unpack it with `7z x FILE.7z -oFOLDER` and name that folder"


class Site(NamedTuple):
    """A dump: the host of its site, and its files."""

    host: str
    posts: Path
    links: Path | None


class Links:
    """Which question was closed as a duplicate of which, as two sorted columns of ids."""

    def __init__(self, pairs: NDArray[np.int64]) -> None:
        self._pairs = pairs  # shape (links, 2), sorted

    def of(self, question: int) -> list[int]:
        """Return the questions that ``question`` is a duplicate of."""
        first = self._pairs[:, 0].searchsorted(question)
        last = self._pairs[:, 0].searchsorted(question, side="right")
        return sorted({int(other) for other in self._pairs[first:last, 1]} - {question})


class Kept:
    """The ids of the questions that were read, a bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def add(self, number: int) -> None:
        """Note a question."""
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes((number >> 3) + 1 - len(self._bits)))
        self._bits[number >> 3] |= 1 << (number & 7)
        self.count += 1

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self._bits) and bool(self._bits[number >> 3] >> (number & 7) & 1)


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Do nothing: dumps are where they are."""


def fingerprint(settings: CollectSettings, shelf: Path) -> str:
    """Return the digest of the dumps' content; a file that has not changed is read once only."""
    parts = []
    for site in _sites(settings):
        parts += [site.host, _digest(site.posts, shelf)]
        parts.append(_digest(site.links, shelf) if site.links else "")
    return digest_of(*parts)


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:  # noqa: ARG001 - a `Source`
    """Yield the questions of every dump; of one that is cut, those before the cut.

    Raises:
        InputError: when there is no dump, or one cannot be read at all.
    """
    for site in _sites(settings):
        links, problem = _links(site)
        if problem:
            yield _dropped(site.host, problem.reason, problem.detail)
        yield from _posts(site, links, settings)


def _posts(site: Site, links: Links, settings: CollectSettings) -> Iterator[Document | Dropped]:
    kept, others = Kept(), 0
    kinds = (_QUESTION, _ANSWER) if settings.stack_exchange.answers else (_QUESTION,)
    for row in dumps.rows(site.posts):
        if isinstance(row, Cut):
            yield _dropped(site.host, row.reason, row.detail)
        elif row.get("PostTypeId") not in kinds or _is_beyond(row, kept, settings):
            others += 1
        elif reason := _left_out(row, kept, settings):
            yield _dropped(_name(row, site), reason)
        else:
            number = int(row["Id"])
            if row["PostTypeId"] == _QUESTION:
                kept.add(number)
            yield _document(row, site, links.of(number), settings)
    log.info("%s: %d questions; %d posts are of other kinds", site.host, kept.count, others)


def _is_beyond(row: Mapping[str, str], kept: Kept, settings: CollectSettings) -> bool:
    most = settings.stack_exchange.max_questions
    return bool(most) and row["PostTypeId"] == _QUESTION and kept.count >= most


def _left_out(row: Mapping[str, str], kept: Kept, settings: CollectSettings) -> str:
    """Return why a question or an answer is not wanted, "" when it is."""
    wanted = settings.stack_exchange
    if not _number(row.get("Id")):
        return "bad_id"
    if wanted.min_score is not None and _number(row.get("Score"), signed=True) < wanted.min_score:
        return "low_score"
    if row["PostTypeId"] == _ANSWER:
        return "" if _number(row.get("ParentId")) in kept else "answer_to_what_is_left_out"
    other = wanted.tags and not _tags(row.get("Tags", "")).intersection(wanted.tags)
    return "other_tags" if other else ""


def _name(row: Mapping[str, str], site: Site) -> str:
    kind = "a" if row["PostTypeId"] == _ANSWER else "q"
    return f"{site.host}/{kind}/{row.get('Id', '')[:20]}"


def _tags(text: str) -> set[str]:
    """Return the tags in "<a><b>", or in "|a|b|" as newer dumps write them."""
    return set(text.replace("<", "|").replace(">", "|").split("|")) - {""}


def _document(
    row: Mapping[str, str], site: Site, others: list[int], settings: CollectSettings
) -> Document | Dropped:
    name = _name(row, site)
    try:
        body = posts.prose(row.get("Body", ""), settings.stack_exchange.code)
    except ValueError as error:
        return _dropped(name, "bad_body", str(error))
    title = posts.title(row.get("Title", ""))
    if not (body or title):
        return _dropped(name, "no_text")
    return Document(
        id=text_id(body or title),
        text=body or title,
        name=name,
        source=SOURCE,
        url=f"https://{name}",
        licence=row.get("ContentLicense") or settings.licence,
        title=title if body else "",
        group=site.host,
        duplicates="\n".join(f"{site.host}/q/{other}" for other in others),
    )


def _links(site: Site) -> tuple[Links, Cut | None]:
    import numpy as np  # noqa: PLC0415 - heavy, and only for what is read here

    pairs, problem = array("q"), None
    for row in dumps.rows(site.links) if site.links else ():
        if isinstance(row, Cut):
            problem = row
        elif row.get("LinkTypeId") == _DUPLICATE:
            pair = _number(row.get("PostId")), _number(row.get("RelatedPostId"))
            pairs.extend(pair if all(pair) else ())
    if not site.links:
        log.warning("%s: there is no %s beside it, so no duplicates are known", site.posts, LINKS)
    table = np.frombuffer(pairs, dtype=np.int64).reshape(-1, 2) if pairs else np.empty((0, 2), "q")
    return Links(table[np.lexsort((table[:, 1], table[:, 0]))]), problem


def _number(text: str | None, *, signed: bool = False) -> int:
    """Return the number an attribute holds, 0 for what is none that a dump could hold."""
    digits = (text or "").removeprefix("-") if signed else text or ""
    usable = digits.isascii() and digits.isdigit() and len(digits) <= 9
    return int(text or "0") if usable else 0


def _sites(settings: CollectSettings) -> list[Site]:
    """Return the dumps that ``collect.path`` names.

    Raises:
        InputError: when there are none, or it is not known which site they are of.
    """
    if not settings.path:
        message = "collect.path is empty: name the folder of an unpacked Stack Exchange dump"
        raise InputError(message)
    place = configuration.resolve(settings.path)
    if not place.exists() or place.suffix.lower() == ".7z":
        what = f"is packed: {_UNPACK}" if place.exists() else "does not exist"
        message = f"collect.path: {place} {what}"
        raise InputError(message)
    folder = place if place.is_dir() else place.parent
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [(each, dumps.find(each, POSTS)) for each in (folder, *inner)]
    sites = [Site(_host(each, settings), at, dumps.find(each, LINKS)) for each, at in found if at]
    if not sites:
        packed = next(folder.glob("*.7z"), None)
        hint = f"; {packed.name} is packed: {_UNPACK}" if packed else ""
        message = f"collect.path: {folder} holds no {POSTS} (or {POSTS}.gz, {POSTS}.zst){hint}"
        raise InputError(message)
    return sites


def _host(folder: Path, settings: CollectSettings) -> str:
    name = settings.stack_exchange.site or folder.resolve().name.lower()
    if "." not in name:
        message = (
            f"it is not known which site the dump in {folder} is of: set "
            "collect.stack_exchange.site, or name the folder after it, as cooking.stackexchange.com"
        )
        raise InputError(message)
    return name


def _digest(path: Path, shelf: Path) -> str:
    """Return the digest of a file, from the shelf while its size and time of change stay."""
    state = path.stat()
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ino}"
    note = shelf / "digests" / f"{digest_of(str(path.resolve()))}.json"
    try:
        known = json.loads(note.read_bytes())
        if known["key"] == key:
            return str(known["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = file_digest(path)
    write_atomically(note, json.dumps({"key": key, "digest": digest}))
    return digest


def _dropped(name: str, reason: str, detail: str = "") -> Dropped:
    return Dropped(record_id=name, stage=STAGE, reason=reason, detail=detail)
