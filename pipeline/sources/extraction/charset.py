"""The encoding that a page states about itself."""

from __future__ import annotations

import re
from typing import Final

_HEAD: Final = 4096  # bytes; HTML asks for it within the first 1024
_STATED: Final = re.compile(
    rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})"""
    rb"""|^\s{0,9}<\?xml[^>]{0,100}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)


def stated(data: bytes) -> str:
    """Return the encoding in the ``<meta>`` or ``<?xml`` of a page, "" where there is none."""
    found = _STATED.search(data[:_HEAD])
    return (found[1] or found[2]).decode("ascii") if found else ""
