"""The people's annotator: grades from reviewed files, kept in the journal for every later run."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock

from pipeline.annotation.opinions import Opinions, TextPair
from pipeline.annotation.reviewed import Answer
from pipeline.artifacts import stage_key
from pipeline.disk import disk_errors
from pipeline.journal import Journal
from pipeline.records import pair_id
from pipeline.settings import Home

log = logging.getLogger(__name__)

# A journal finds what it is asked for; these rows say what to ask for.
_NAMES: Final = ("human", "reviewers")
_INDEX: Final = "pairs"


class Kept(NamedTuple):
    """What an import changed: grades of new pairs, other grades than before, the same again."""

    new: int
    changed: int
    same: int


def keep(answers: Sequence[Answer], home: Home) -> Kept:
    """Commit answers to the journal; a grade that is there already is replaced.

    Raises:
        ResourceError: when the disk is full.
    """
    path = _path(home)
    by_reviewer: dict[str, list[Answer]] = {}
    for answer in answers:
        by_reviewer.setdefault(answer.reviewer, []).append(answer)
    changes: Counter[str] = Counter()
    # The index is read, extended and written: one process at a time.
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.import.lock"), closing(Journal(path)) as journal:
        names = sorted({*_listed(journal, *_NAMES), *by_reviewer})
        journal.write(_NAMES[0], {_NAMES[1]: _bytes(names)})
        for name, given in by_reviewer.items():
            before = _of(journal, name)
            changes.update(_change(before.get(row.pair_id), row.score) for row in given)
            ids = sorted({*_listed(journal, _owner(name), _INDEX), *(a.pair_id for a in given)})
            values = {a.pair_id: _bytes({"score": a.score, "note": a.note}) for a in given}
            journal.write(_owner(name), values | {_INDEX: _bytes(ids)})
    return Kept(**{kind: changes[kind] for kind in Kept._fields})


def grades(home: Home) -> dict[str, dict[str, float]]:
    """Return every grade in [0, 1], by reviewer and pair id; empty when nothing was reviewed.

    A damaged grade is left out, and a warning says whose file to import again.
    """
    path = _path(home)
    if not path.exists():
        return {}
    with closing(Journal(path)) as journal:
        return {name: _of(journal, name) for name in _listed(journal, *_NAMES)}


def identity(home: Home, reviewer: str = "") -> str:
    """Return the digest of what was reviewed, by one reviewer or, "", by all."""
    return stage_key("human", 1, grades=_chosen(grades(home), reviewer))


class Human:
    """What people said: the mean of their grades, or the grades of one of them.

    A pair that nobody graded has no score, for the reason "not_reviewed".
    """

    def __init__(self, home: Home, reviewer: str = "") -> None:
        self.name = f"human:{reviewer}" if reviewer else "human"
        chosen = _chosen(grades(home), reviewer)
        self.identity = stage_key("human", 1, grades=chosen)
        by_pair: dict[str, list[float]] = {}
        for given in chosen.values():
            for key, score in given.items():
                by_pair.setdefault(key, []).append(score)
        self._scores = {key: math.fsum(scores) / len(scores) for key, scores in by_pair.items()}

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return the grades in [0, 1], NaN where there is none; nobody is asked anything."""
        keys = [pair_id(*pair) for pair in pairs]
        scores = [self._scores.get(key, math.nan) for key in keys]
        reasons = ["not_reviewed" if math.isnan(score) else "" for score in scores]
        # Nothing can be asked, so a pair without a grade counts as known too: it cost nothing.
        return Opinions(scores, reused=len(keys), reasons=reasons)


def _change(before: float | None, score: float) -> str:
    if before is None:
        return "new"
    return "same" if before == score else "changed"


def _chosen(found: Mapping[str, dict[str, float]], reviewer: str) -> dict[str, dict[str, float]]:
    return {name: given for name, given in found.items() if reviewer in ("", name)}


def _of(journal: Journal, name: str) -> dict[str, float]:
    ids = _listed(journal, _owner(name), _INDEX)
    found = journal.read(_owner(name), ids)
    if len(found) < len(ids):
        log.warning(
            "%s: %d grades of %s are damaged: import the reviewed file again",
            journal.path, len(ids) - len(found), name,
        )  # fmt: skip
    return {key: float(json.loads(value)["score"]) for key, value in found.items()}


def _listed(journal: Journal, owner: str, key: str) -> list[str]:
    listed: list[str] = json.loads(journal.read(owner, [key]).get(key, b"[]"))
    return listed


def _path(home: Home) -> Path:
    return home.journal / "human.sqlite"


def _owner(name: str) -> str:
    return f"human:{name}"


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
