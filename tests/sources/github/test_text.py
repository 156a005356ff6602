"""The prose of an issue: what a template, a log and Markdown add is gone, the rest is there."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.hub.text import prose, title

REPORT = """<!-- Please search before you report. -->
### Describe the bug
When I open `foo.txt`, the **app** crashes, see [the docs](https://example.org/x "title").
<!-- one
more
hint -->

```python
import crash
```

### Log output
Traceback (most recent call last):
  File "a.py", line 3, in <module>
    main()
ValueError: bad thing

2024-05-01 12:00:00 INFO started

### Screenshots
![image](https://user-images.githubusercontent.com/1.png)
<img width="5" src="x.png">

**System**

- [x] Linux
- [ ] Windows

> You said that it works.
On Mon, 1 Apr 2024, Ada <ada@example.org> wrote:

### Anything else

_No response_
"""


def test_a_report_becomes_what_its_author_says() -> None:
    assert prose(REPORT, "drop") == (
        "Describe the bug\nWhen I open foo.txt, the app crashes, see the docs.\n\n"
        "Log output\nValueError: bad thing\n\nSystem\n\n- Linux"
    )


def test_code_and_logs_can_be_kept_as_they_are() -> None:
    kept = prose(REPORT, "keep")
    for line in ("import crash", '  File "a.py", line 3, in <module>', "2024-05-01 12:00:00 INFO"):
        assert line in kept
    assert "```" not in kept
    assert "hint" not in kept


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Use <!-- x --> here <!-- y", "Use  here"),
        ("```\n<!-- code\n```\nafter", "after"),
        ("before\n```\nnever closed", "before"),
        ("~~~~ sh\n```\n~~~~\nafter", "after"),
        ("- item\n  ```\n  x\n  ```\n- next", "- item\n- next"),
        ("text\n\n    indented code\n    more\n\nend", "text\n\nend"),
        ("1. step\n\n    more of the step\n2. next", "1. step\n\n    more of the step\n2. next"),
        ("a\n<pre>log\nmore</pre> b", "a\n\n b"),
        ("<details><summary>More</summary>\n\ninner\n</details>", "More\n\ninner"),
        ("vector<int> and Map<String, T>", "vector<int> and Map<String, T>"),
        ("a &lt; b &amp;&amp; c", "a < b && c"),
        ("x * y * z and snake_case_name", "x * y * z and snake_case_name"),
        ("#12 is not a heading", "#12 is not a heading"),
        ("# Title\n## Empty\n### Full\ntext", "Title\nEmpty\nFull\ntext"),
        ("## Empty\n## Full\ntext\n## Empty", "Full\ntext"),
        ("---\ntext\n***", "text"),
        ("Duplicate of #12", ""),
        ("This issue is a duplicate of a/b#12.", ""),
        ("A duplicate of a key fails", "A duplicate of a key fails"),
        ("a\r\nb\rc\x00", "a\nb\nc"),
        ("N/A", ""),
        ("Steps\n>>> import x\n$ make\nC:\\Users> dir\nroot@host:~# ls\nDone", "Steps\nDone"),
        ("    at com.foo.Bar(Bar.java:12)\nat once it failed", "at once it failed"),
        ("ERROR: it broke\nError: it broke", "Error: it broke"),
        ("", ""),
    ],
)  # fmt: skip
def test_markup_becomes_text(body: str, text: str) -> None:
    assert prose(body, "drop") == text


@pytest.mark.parametrize(
    ("given_title", "shown"),
    [
        ("[Duplicate] It crashes", "It crashes"),
        ("It crashes (duplicate of #12)", "It crashes"),
        ("It crashes [closed]", "It crashes"),
        ("Duplicate rows in table", "Duplicate rows in table"),
        (" a \n b ", "a b"),
    ],
)
def test_a_title_does_not_say_that_it_is_a_duplicate(given_title: str, shown: str) -> None:
    assert title(given_title) == shown


SENTENCE = "The window closes when the file is empty."


@given(st.text(max_size=400).filter(lambda text: not any(mark in text for mark in "`~<")))
def test_no_text_hides_a_sentence_of_its_own(around: str) -> None:
    """Only code, comments and tags can hide a paragraph that stands by itself."""
    assert SENTENCE in prose(f"{SENTENCE}\n\n{around}", "drop")
    assert SENTENCE in prose(f"{around}\n\nx\n\n{SENTENCE}", "drop")


HOSTILE = [
    "<!--", "-->", "[", "`", "*a", "<a ", "\n", " ", "-", "_", "x@", "#", "dup ", "- [x] ", "> ",
    "\n> a", "0x", "at ", "[a", "![a", "http://github.com/", "**", "\t", "- ", "On a ", "a\n\n",
    "<pre>", "\n \n", "[2024-01-01 ", "```\n", "1. ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_long(piece: str) -> None:
    body = piece * (65_536 // len(piece))  # the longest that GitHub takes
    start = time.process_time()
    prose(body, "drop")
    title(body[:256])
    assert time.process_time() - start < 2.0
