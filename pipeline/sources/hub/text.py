"""The prose of an issue: what its author says happens, without templates, logs and markup.

A report is Markdown with a template's hints as HTML comments, fenced code, pasted logs, quoted
replies, screenshots and check boxes. Reading goes line by line, so its time is linear in the text.
What says outright that an issue is a duplicate is left out too: in a gold set it would give the
answer away.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"^\s{0,12}(?:[-*+]\s+)?(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)$")
_PRE: Final = re.compile(r"<(/?)pre\b[^>]{0,200}>", re.IGNORECASE)

_TAG: Final = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|"
    r"img|ins|kbd|li|ol|p|picture|pre|samp|small|source|span|strike|strong|sub|summary|sup|table|"
    r"tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video)\b[^<>]{0,2000}>",
    re.IGNORECASE,
)
_IMAGE: Final = re.compile(r"!\[[^\]\n]{0,500}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,200}\])")
_LINK: Final = re.compile(r"\[([^\[\]\n]{1,500})\]\([^()\s]{0,2000}(?:\s+\"[^\"\n]{0,200}\")?\)")
_ATTACHED: Final = re.compile(
    r"https?://(?:[\w-]+\.githubusercontent\.com|github\.com/[\w./-]{1,200}?/?(?:user-)?"
    r"attachments?|github\.com/user-attachments)/\S{1,500}"
)
_EMPHASIS: Final = re.compile(r"(?<![\w*])(\*\*|__|\*)(?=\S)([^*_\n]{1,300}?)(?<=\S)\1(?![\w*])")
_CODE: Final = re.compile(r"(`{1,2})([^`\n]{1,500})\1")

_HEADING: Final = re.compile(r"^\s{0,3}(?P<level>#{1,6})\s+(?P<text>.*)$")
_BOLD_LINE: Final = re.compile(r"^\s{0,3}(\*\*|__)(?P<text>[^*_\n]{1,200})\1:?\s*$")
_BOLD_LEVEL: Final = "###"  # of a line in bold type, which templates use as a heading
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s")
_BOX: Final = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+\[(?P<mark>[ xX]?)\]\s*(?P<text>.*)$")
_BULLET: Final = re.compile(r"^(\s*)[*+]\s+")
_QUOTE: Final = re.compile(r"^\s{0,3}>")
_WROTE: Final = re.compile(
    r"^\s*(?:On\b.{5,200}\bwrote|@[\w-]{1,39} (?:wrote|said|commented)):?\s*$"
)
_NOTHING: Final = re.compile(r"^\s*[_*]*(?:no response|n/?a|none)[_*.]*\s*$", re.IGNORECASE)
_RULE: Final = re.compile(r"^\s*(?:[-*_=]\s*){3,}$")
_TELLS: Final = re.compile(
    r"^\W*(?:this(?: issue)? (?:is|looks like) (?:an? )?|closed? (?:this )?as (?:an? )?)?"
    r"(?:exact |possible |potential )?dup(?:licate[sd]?|es?)?\s+(?:of|by|with)\b.{0,300}"
    r"(?:#|/issues/)\d+\W*$",
    re.IGNORECASE,
)
_TITLE_TELLS: Final = re.compile(
    r"^\s*[\[(](?:possible |potential )?dup(?:licate|e)?(?: of #?\d+)?[\])]\s*:?\s*"
    r"|\s*[\[(](?:closed|solved|fixed|dup(?:licate|e)?(?: of #?\d+)?)[\])]\s*$",
    re.IGNORECASE,
)

# Lines of logs, stack traces and terminals, as they are pasted outside code blocks too.
_LOG: Final = re.compile(
    r"""^\s*(?:
        \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d            # 2024-05-01 12:00:00
      | \[?\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\]?\s      # 12:00:00.123
      | (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+
          [\w ]{1,12}\d\d:\d\d:\d\d                # May  1 12:00:00
      | \[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\]?(?::|\s*[|\]\[-]|\s{2,})
      | [IWEF]\d{4}\s\d\d:\d\d                     # glog
      | at\s+[\w$.<>\[\]/@ -]{1,200}\(.{0,300}\)\s*$      # Java, JavaScript, C#
      | at\s+(?:async\s+)?\S{1,300}:\d+(?::\d+)?\)?\s*$
      | File\s+".{1,300}",\s+line\s+\d+            # Python
      | Traceback\s\(most\srecent\scall\slast\)
      | \#\d+\s+(?:0x[0-9a-f]{6,}|\S{1,200}\s+in\s) # gdb, sanitizers, PHP
      | goroutine\s\d+\s\[ | \d+:\s+0x[0-9a-f]+ | 0x[0-9a-f]{6,}(?:\s|:)
      | [0-9a-f]{8,}(?:\s+[0-9a-f]{2,8}){3,}       # hex dumps
      | (?:\$|%|>>>|\.\.\.)\s+\S                   # prompts
      | (?:PS\s)?[A-Z]:\\[^>\n]{0,200}>\s*\S
      | [\w.-]{1,40}@[\w.-]{1,60}[:\s~][^$\#\n]{0,100}[$\#]\s+\S
      | \.\.\.\s\d+\s(?:more|common\sframes)
      | (?:npm|yarn|pip|gyp)\s(?:ERR!|WARN|error|info)\b
    )""",
    re.VERBOSE,
)  # fmt: skip


class _Line(NamedTuple):
    """A line of an issue; ``level`` is that of a heading, 0 for what is none."""

    text: str
    code: bool = False
    level: int = 0


def prose(body: str, code: str) -> str:
    """Return what an issue's body says; ``code`` is "drop" or "keep", for code blocks and logs."""
    reader = _Reader()
    given = body.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").split("\n")
    lines: Iterable[_Line] = (line for text in given for line in reader.read(text))
    if code == "drop":
        lines = _without_logs(line for line in lines if not line.code)
    found = [line for line in map(_plain, _without_quotes(lines)) if line is not None]
    return _joined(_without_empty_sections(found))


def title(text: str) -> str:
    """Return an issue's title without what says that it is closed or a duplicate."""
    return " ".join(_TITLE_TELLS.sub("", text.replace("\x00", "")).split())


class _Reader:
    """Tells code from prose, line by line, and leaves HTML comments out."""

    def __init__(self) -> None:
        self._fence = ""  # the mark that opened a code block
        self._pre = self._comment = self._indented = False
        self._blank, self._listed = True, False

    def read(self, line: str) -> Iterator[_Line]:
        """Yield the line with its kind, nothing for a fence or a comment."""
        match = _FENCE.match(line)
        if self._fence:
            if match and match["mark"].startswith(self._fence) and not match["info"].strip():
                self._fence = ""
            else:
                yield _Line(line, code=True)
            return
        line = self._uncommented(line)
        if not self._comment and (match := _FENCE.match(line)):
            self._fence = match["mark"]
        elif self._pre or _PRE.search(line):
            yield from self._preformatted(line)
        else:
            yield _Line(line, code=self._is_indented(line))

    def _uncommented(self, line: str) -> str:
        kept = []
        while line:
            mark = "-->" if self._comment else "<!--"
            before, found, line = line.partition(mark)
            if not self._comment:
                kept.append(before)
            self._comment ^= bool(found)
        return "".join(kept)

    def _preformatted(self, line: str) -> Iterator[_Line]:
        end = 0
        for tag in _PRE.finditer(line):
            yield _Line(line[end : tag.start()], code=self._pre)
            self._pre, end = not tag[1], tag.end()
        yield _Line(line[end:], code=self._pre)

    def _is_indented(self, line: str) -> bool:
        """Return whether a line is of an indented code block: after a blank line, in no list."""
        if not line.strip():
            self._blank = True
            return self._indented
        deep = line.startswith(("    ", "\t"))
        self._indented = deep and not self._listed and (self._blank or self._indented)
        if not deep:
            self._listed = bool(_ITEM.match(line))
        self._blank = False
        return self._indented


def _without_logs(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Leave out what a program printed; the error that ends a Python traceback stays."""
    inside = False
    for line in lines:
        inside = bool(_LOG.match(line.text)) or (inside and line.text.startswith(("    ", "\t")))
        if not inside:
            yield line


def _without_quotes(lines: Iterable[_Line]) -> Iterator[_Line]:
    for line in lines:
        if line.code or not (_QUOTE.match(line.text) or _WROTE.match(line.text)):
            yield line


def _plain(line: _Line) -> _Line | None:
    """Return a line without its markup, None for one that says nothing of its own."""
    if line.code:
        return line
    box = _BOX.match(line.text)
    if box and box["mark"] not in ("x", "X"):
        return None  # an option of the template that was not chosen
    heading = _HEADING.match(line.text) or _BOLD_LINE.match(line.text)
    level = len(heading.groupdict().get("level") or _BOLD_LEVEL) if heading else 0
    text = f"- {box['text']}" if box else heading["text"].rstrip("# ") if heading else line.text
    text = html.unescape(_unmarked(_BULLET.sub(r"\1- ", text)))
    empty = bool(line.text.strip()) and not text.strip(" -*")
    if empty or _RULE.match(text) or _NOTHING.match(text) or _TELLS.match(text):
        return None
    return _Line(text.rstrip(), level=level)


def _unmarked(text: str) -> str:
    text = _IMAGE.sub("", _TAG.sub("", text))
    text = _ATTACHED.sub("", _LINK.sub(r"\1", text))
    return _EMPHASIS.sub(r"\2", _CODE.sub(r"\2", text))


def _without_empty_sections(lines: list[_Line]) -> list[_Line]:
    """Leave out the headings that nothing follows, as a template's that were not filled in."""
    kept: list[_Line] = []
    below = 1  # of what was kept last, from the end: 0 for text, else the level of a heading
    for line in reversed(lines):
        if line.level and 0 < below <= line.level:
            continue
        kept.append(line)
        if line.text.strip():
            below = line.level
    return kept[::-1]


def _joined(lines: Iterable[_Line]) -> str:
    """Return lines as a text without more than one blank line in a row."""
    kept: list[str] = []
    for line in lines:
        if line.text.strip() or (kept and kept[-1]):
            kept.append(line.text if line.text.strip() else "")
    return "\n".join(kept).strip()
