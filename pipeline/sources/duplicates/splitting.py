"""Which side of a gold set a document is on: whole repositories, where there are several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.records import digest_of
from pipeline.sources.duplicates.choices import Choices, Corpus, Link, Side, draw


def split(
    corpus: Corpus, links: Sequence[Link], choices: Choices
) -> tuple[dict[str, Side], Literal["repository", "duplicates"]]:
    """Return the side of every document: whole repositories, or clusters where there is but one."""
    groups = {name: document.group for name, document in corpus.documents.items()}
    joined = _joined(groups, links)
    by_group = {name: joined[group] for name, group in groups.items()}
    linked = {by_group[name] for link in links for name in link}
    by = by_group if len(linked) > 1 else dict(corpus.cluster)
    weight = Counter(by[first] for first, _ in links)
    sides = _allotted(weight, choices)
    side = {name: sides.get(unit) or _drawn_side(unit, choices) for name, unit in by.items()}
    return side, "repository" if by is by_group else "duplicates"


def _joined(groups: Mapping[str, str], links: Sequence[Link]) -> dict[str, str]:
    """Return for every group the one it goes with: links across repositories tie them together."""
    parent = {group: group for group in groups.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    for first, second in links:
        parent[root(groups[first])] = root(groups[second])
    return {group: root(group) for group in parent}


def _allotted(weight: Mapping[str, int], choices: Choices) -> dict[str, Side]:
    """Return the side of every unit: the largest first, to the side that lacks most."""
    total = sum(weight.values())
    lacking: dict[Side, float] = {"dev": choices.dev * total, "test": (1 - choices.dev) * total}
    order = sorted(weight, key=lambda unit: (-weight[unit], digest_of(str(choices.seed), unit)))
    sides: dict[str, Side] = {}
    for unit in order:
        side: Side = "dev" if lacking["dev"] > lacking["test"] else "test"
        sides[unit] = side
        lacking[side] -= weight[unit]
    return sides


def _drawn_side(unit: str, choices: Choices) -> Side:
    return "dev" if draw(choices, "side", unit) % 1000 < 1000 * choices.dev else "test"
