"""The sentences of a docstring, without its signatures, code, tables and markup.

A docstring is read block by block (blocks are separated by blank lines). A block that is not prose
is dropped, and what announced it ("For example:") goes with it.
"""

from __future__ import annotations

import inspect
import re
from typing import Final

# Lines that stand before the prose of a block: "read(n) -> bytes", "key, value = parse(text)".
_SIGNATURES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"^[\w.]+\(.*\)(\s*(-+>|=>)((?! -- ).)*|\s*:?)?$",
        r"^[\w\s,.()\[\]<>*']{1,60}? = \S.*(?<!\.)$",
        r"^\w+(\(\w+\))?( \[.*| \(com\).*)(?<!\.)$",
        r"^\w+\(\w+\)( .*)?(?<!\.)$",
        r"^-+> .*$",
    )
)
_NAME: Final = re.compile(r"^[\w.]+$")
_OPEN_SIGNATURE: Final = re.compile(r"^[\w.]+\([^)]*$")
_INLINE_SIGNATURE: Final = re.compile(r"^[\w.]+\(.*?\)(\s*-+>.{1,60}?\s(--|—)|\s*(--|—|:)|\s-)\s+")
_RULE: Final = re.compile(r"^[\s=\-~*_#.+|]{3,}$|^\s*\|.*\|\s*$")
_FIELD: Final = re.compile(
    r"^\s*(:\w+( [\w*]+)?: |\.\. \w+::|"
    r"((Keyword )?Arg(ument)?s|Parameters|Returns?|Raises|Yields|Attributes|Options):?\s*:$|"
    r"((Keyword )?Arg(ument)?s|Parameters|Returns): )"
)
_DOCTEST: Final = re.compile(r"^\s*(>>>|\.\.\. |\$ |::)", re.MULTILINE)
_CODE: Final = re.compile(
    r"^\s*(@\w+|# |import [\w., ]+$|from [\w.]+ import |"
    r"(def|class|with|for|if|while|try|except)\b.*:$|[\w.]+(\[[^\]]*\])?(, ?[\w.]+)* = |print\b|"
    r"[\w.]+\(.*\)\s*(#.*|-+>((?! -- ).)*)?$)"
)
_DEFINITION: Final = re.compile(r"^\s*[-*]?\s*[\w.*()\[\], /<>'\"=-]{1,40}?\s+--\s|^\s*\S+\s{3,}\S")
_CREDIT: Final = re.compile(
    r"^(Written|Contributed|Implemented|Original\w*|Adapted|Developed) (\w+ )?(by|from) [A-Z]|"
    r"^(\(c\) )?Copyright\b|^Authors?:|^Version:"
)

_MARKUP: Final = (
    (re.compile(r"(?<=\w)-\n\s*(?=[a-z])"), "-"),
    (re.compile(r"\s+"), " "),
    (re.compile(r":[a-z:]+:`[~!]?([^`<]+?)(?:\s*<[^`]*>)?`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{1,2}"), r"\1"),
    (re.compile(r"``([^`]+?)``"), r"\1"),
    (re.compile(r"`([^`']{1,60})['`]_{0,2}"), r"\1"),
    (re.compile(r"(?<![\w*])(\*\*?)([A-Za-z_][\w.-]*)\1(?![\w*])"), r"\2"),
)
_LAST_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+[^.!?]*$")


def prose(docstring: str) -> str:
    """Return the paragraphs of ``docstring`` that are sentences, separated by blank lines."""
    paragraphs: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        paragraph = _paragraph(block)
        if paragraph:
            paragraphs.append(paragraph)
        elif paragraphs:
            paragraphs[-1] = _without_announcement(paragraphs[-1])
    if paragraphs:
        paragraphs[-1] = _without_announcement(paragraphs[-1])
    return "\n\n".join(re.sub(r"\s*::$", ":", paragraph) for paragraph in paragraphs if paragraph)


def _paragraph(block: str) -> str:
    lines = _before_fields([line for line in block.split("\n") if not _RULE.match(line)])
    lines = _after_signatures(lines)
    if not lines or lines[0].startswith((" ", "\t")) or _CREDIT.match(lines[0]):
        return ""
    if _DOCTEST.search(block) or _mostly(_CODE, lines):
        return ""
    if _mostly(_DEFINITION, lines) if len(lines) > 1 else _NAME.match(lines[0]):
        return ""
    text = "\n".join(lines).strip()
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return _INLINE_SIGNATURE.sub("", text)


def _before_fields(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if _FIELD.match(line):
            return lines[:number]
    return lines


def _after_signatures(lines: list[str]) -> list[str]:
    while lines:
        if any(signature.match(lines[0].strip()) for signature in _SIGNATURES):
            lines = lines[1:]
        elif _OPEN_SIGNATURE.match(lines[0]) and (end := _closing(lines)):
            lines = lines[end:]
        else:
            break
    return lines


def _closing(lines: list[str]) -> int:
    """Return the number of lines of a signature broken over several, 0 when it is not one."""
    for number, line in enumerate(lines[1:5], start=2):
        if re.search(r"\)(\s*-+>.*|\s*:?)$", line):
            return number
    return 0


def _mostly(pattern: re.Pattern[str], lines: list[str]) -> bool:
    return 2 * sum(bool(pattern.match(line)) for line in lines) > len(lines)


def _without_announcement(paragraph: str) -> str:
    """Return ``paragraph`` without a closing "For example:" whose example is gone."""
    if not paragraph.endswith(":"):
        return paragraph
    if match := _LAST_SENTENCE.search(paragraph):
        return paragraph[: match.start()]
    text = paragraph.rstrip(":, ")
    return f"{text}." if len(text.split()) > 4 else ""
