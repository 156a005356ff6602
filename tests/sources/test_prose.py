from __future__ import annotations

import pytest

from pipeline.sources.prose import prose


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Return the length.", "Return the length."),
        ("Over\n    two lines.\n\n    A paragraph.", "Over two lines.\n\nA paragraph."),
        ("read(n) -> bytes\n\nRead n bytes.", "Read n bytes."),
        ("read(n) -- Read n bytes.", "Read n bytes."),
        ("read(n) -> bytes -- Read n bytes.", "Read n bytes."),
        ("enable(file=None): enable it", "enable it"),
        ("partial(func, *args) - new function.", "new function."),
        ("value, coded = decode(TEXT)\nCalled before reading.", "Called before reading."),
        ("(typ, [data]) = <instance>.login(user)\n\nLog in.", "Log in."),
        ("system.list() => ['add']\n\nList methods.", "List methods."),
        ("long(name,\n     other=None) -> str\n\nMake it long.", "Make it long."),
        ("unt(il) [lineno]\nContinue to a line.", "Continue to a line."),
        ("ast\n~~~\n\nThe module.", "The module."),
    ],
)  # fmt: skip
def test_signatures_are_not_prose(docstring: str, expected: str) -> None:
    assert prose(docstring) == expected


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Use ``x`` and `y` and `z' here.", "Use x and y and z here."),
        ("Raise :exc:`ValueError` or :class:`~a.B`.", "Raise ValueError or a.B."),
        ("See :ref:`the text <target>` now.", "See the text now."),
        ("See `the guide <https://example.org>`_ now.", "See the guide now."),
        ("Compress *data* or **more** of it.", "Compress data or more of it."),
        ("Pass *args and **kwargs on; a*b*c stays.", "Pass *args and **kwargs on; a*b*c stays."),
        ("An environment-\nspecific value.", "An environment-specific value."),
    ],
)
def test_markup_is_taken_off(docstring: str, expected: str) -> None:
    assert prose(docstring) == expected


@pytest.mark.parametrize(
    "dropped",
    [
        "    indented = code()",
        ">>> f(1)\n2\n3\n4",
        "heap = []  # makes one\npush(heap, 1)",
        "import this\nfrom a import b",
        "+---+---+\n| a | b |\n+---+---+",
        "a -- the first\nb -- the second",
        "Args:\n  x: a number",
        ":param x: a number",
        ".. versionadded:: 3.2",
        "Written by A. Author (a@example.org).",
        "(c) Copyright A. Author.",
    ],
)
def test_what_is_no_prose_goes_with_its_announcement(dropped: str) -> None:
    docstring = f"Return it. For example:\n\n{dropped}\n\nUsage::\n\n{dropped}\n\nThe end."
    assert prose(docstring) == "Return it.\n\nThe end."


def test_an_announcement_that_says_something_stays_as_a_sentence() -> None:
    docstring = "This is the most common way to use it::\n\n    use(it)"
    assert prose(docstring) == "This is the most common way to use it."


def test_a_sentence_that_quotes_code_is_prose() -> None:
    docstring = "Return a getter.\nAfter f = getter(2), the call f(r) returns r[2]."
    assert prose(docstring) == docstring.replace("\n", " ")


def test_a_list_that_is_prose_stays_with_its_announcement() -> None:
    docstring = "There are two rules:\n\n1. Be kind to others.\n2. Be brief in all."
    assert prose(docstring) == "There are two rules:\n\n1. Be kind to others. 2. Be brief in all."


@pytest.mark.parametrize("docstring", ["", "   \n\n  ", "f(x)", ">>> 1\n1", "====", "::"])
def test_a_docstring_without_prose_is_empty(docstring: str) -> None:
    assert prose(docstring) == ""
