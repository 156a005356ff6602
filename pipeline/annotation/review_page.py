"""The page on which people grade pairs: one HTML file that needs no server and no network.

Its policy admits the one script and the one style whose digests it states, and lets nothing be
loaded; texts reach the script as JSON and the document as text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.records import digest_of

TEMPLATES: Final = Path(__file__).parent / "templates"

# Chinese and Japanese characters are words of their own: no space says where a word ends.
_CJK: Final = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_LIGHT: Final = r"[\s.,;:!?\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]+"
_TOKEN: Final = re.compile(rf"{_LIGHT}|{_CJK}|(?:(?!{_CJK})\w)+|.", re.DOTALL)
_BETWEEN: Final = re.compile(_LIGHT)
_LONGEST: Final = 1_000  # words of a text; the comparison is quadratic
_ALIKE: Final = 1 / 3

Parts = list[str]


def render(rows: Sequence[Mapping[str, Any]], scale: Mapping[str, Any], title: str) -> str:
    """Return the page for the rows of a review.

    ``scale`` holds the question, the grades from 0 up, the columns of a download and the pattern
    that guards its cells. What a reader did is kept under a digest of the texts and the scale.
    """
    asked = json.dumps([scale["question"], *scale["grades"]])
    identity = digest_of(asked, *(part for row in rows for part in _texts(row)))
    data = {**scale, "file": identity, "rows": [_shown(row) for row in rows]}
    style, script = _own("review.css"), _own("review.js")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("review.html.j2").render(
        title=title,
        data=data,
        scale=scale,
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


def marked(first: str, second: str) -> tuple[Parts, Parts]:
    """Return both texts in parts, in turn shared and differing words; joined they are the texts.

    Nothing is marked in texts that share less than a third of their words, where everything would
    be, nor in texts too long to compare.
    """
    tokens = _TOKEN.findall(first), _TOKEN.findall(second)
    words = [[word.casefold() for word in side if not _BETWEEN.fullmatch(word)] for side in tokens]
    if max(map(len, words)) > _LONGEST:
        return [first], [second]
    matcher = SequenceMatcher(a=words[0], b=words[1], autojunk=False)
    if matcher.ratio() < _ALIKE:
        return [first], [second]
    blocks = matcher.get_matching_blocks()
    shared = (
        {block.a + step for block in blocks for step in range(block.size)},
        {block.b + step for block in blocks for step in range(block.size)},
    )
    return _parts(tokens[0], shared[0]), _parts(tokens[1], shared[1])


def _parts(tokens: Sequence[str], shared: set[int]) -> Parts:
    """Join tokens into parts; what stands between two differing words goes with them."""
    count = itertools.count()
    between = [bool(_BETWEEN.fullmatch(token)) for token in tokens]
    same = [light or next(count) in shared for light in between]
    parts = [""]
    for place, token in enumerate(tokens):
        around = same[max(0, place - 1) : place + 2 : 2]
        linking = between[place] and len(around) == 2 and not any(around)
        if (linking or not same[place]) != (len(parts) % 2 == 0):
            parts.append("")
        parts[-1] += token
    return parts


def _texts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["pair_id"], row["sentence1"], row["sentence2"]


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    identity, *texts = _texts(row)
    return {
        "id": identity,
        "texts": marked(*texts),
        "said": [[name, score] for name, score in row["scores"].items()],
        "score": row["score"],
        "note": row["note"],
    }


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
