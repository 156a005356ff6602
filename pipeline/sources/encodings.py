"""Bytes to text: UTF-8 first, then what is declared, then what the bytes look like."""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

SAMPLE: Final = 1 << 18  # bytes that an encoding is judged by

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SEQUENCES: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_EVIDENCE: Final = 8  # bytes beyond ASCII without which statistics say nothing
_COMMON: Final = frozenset(  # in cp1252
    "ÀÁÂÄÅÆÇÈÉÊËÍÎÏÑÓÔÖØÙÚÛÜßàáâäåæçèéêëíîïñòóôöøùúûüœŒ‘’“”–—…•€£©®°«»§·×\xa0"  # noqa: RUF001 - as they are written
)
_SEVEN_BITS: Final = ("iso2022", "hz")  # valid UTF-8 to look at


class Undecodable(NamedTuple):
    """Why bytes are no text: ``binary`` or ``unknown_encoding``, and what was seen."""

    reason: str
    detail: str


def decoded(data: bytes, declared: str = "", forced: str = "") -> str | Undecodable:
    """Return the text of ``data``.

    ``declared`` is the encoding that its sender claims, ``forced`` the one that its owner knows.
    """
    found = forced or encoding(data, declared, whole=True)
    if isinstance(found, Undecodable):
        return found
    try:
        return data.decode(found)
    except UnicodeDecodeError as error:  # beyond the sample
        return Undecodable("unknown_encoding", f"byte {error.start} is not {found}")


def encoding(sample: bytes, declared: str = "", *, whole: bool) -> str | Undecodable:
    """Return the encoding of text that begins with ``sample``; ``whole``: and ends with it."""
    if name := _marked(sample) or _wide(sample):
        return name
    controls = len(_CONTROLS.findall(sample[:SAMPLE]))
    if controls * 50 > len(sample[:SAMPLE]) or b"\0" in sample:
        return Undecodable("binary", f"{controls} control characters in the first bytes")
    claimed = _known(declared)
    first, second = ("utf-8", claimed)
    if claimed.startswith(_SEVEN_BITS):
        first, second = second, first
    for name in (first, second):
        if name and _decodes(sample, name, whole=whole):
            return name
    return _guessed(sample)


def _marked(sample: bytes) -> str:
    """Return the encoding that a byte order mark states, or ""."""
    return next((name for mark, name in _MARKS if sample.startswith(mark)), "")


def _decodes(sample: bytes, name: str, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(sample, final=whole)
    except (UnicodeError, LookupError):
        return False
    return True


def _wide(sample: bytes) -> str:
    """Return "utf-16-le" or "-be" for UTF-16 without a mark: every other byte mostly 0; else ""."""
    head = sample[:4096]
    if len(head) < 8:
        return ""
    pairs = len(head) // 2
    for name, zeros, others in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
        low = len(_CONTROLS.findall(head[others::2]))
        if head[zeros::2].count(0) * 10 > pairs * 6 and low * 50 < pairs:
            return name
    return ""


def _known(declared: str) -> str:
    """Return Python's name of an encoding as the web spells it (latin1 is cp1252 there), or ""."""
    import webencodings  # noqa: PLC0415 - only where a text is not UTF-8

    found = webencodings.lookup(declared) if declared else None
    return str(found.codec_info.name) if found else ""


def _guessed(sample: bytes) -> str | Undecodable:
    damage = _utf8_damage(sample)
    if damage:
        return Undecodable("unknown_encoding", damage)
    high = sum(len(run) for run in re.findall(rb"[\x80-\xff]+", sample))
    if high < _EVIDENCE:
        return _western(sample)
    from charset_normalizer import from_bytes  # noqa: PLC0415 - only where a text is not UTF-8

    best = from_bytes(sample[:SAMPLE]).best()
    if best is None:
        return Undecodable("unknown_encoding", "no known encoding makes text of it")
    return best.encoding


def _western(sample: bytes) -> str | Undecodable:
    """Return cp1252 where the few bytes beyond ASCII are its common letters and marks."""
    text = sample.decode("cp1252", "replace")
    if all(character.isascii() or character in _COMMON for character in text):
        return "cp1252"
    detail = "too few bytes beyond ASCII to tell; set collect.files.encoding"
    return Undecodable("unknown_encoding", detail)


def _utf8_damage(sample: bytes) -> str:
    """Return where UTF-8 with a few wrong bytes is damaged, or "" where it looks like no UTF-8."""
    good = len(_SEQUENCES.findall(sample))
    wrong = sample.decode("utf-8", "replace").count("\ufffd")
    if good < 4 * wrong:
        return ""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8, though the rest is"
    return ""
