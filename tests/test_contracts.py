"""Promises about the code itself that no linter holds."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import CHECKOUT

FILES = sorted(path for room in ("pipeline", "flows") for path in (CHECKOUT / room).rglob("*.py"))
LONGEST_FUNCTION = 40
LONGEST_FILE = 300
HEAVY = ("prefect", "torch", "transformers", "peft")


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield node.name, length


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_and_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    assert [found for found in functions(path) if found[1] > LONGEST_FUNCTION] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_says_what_it_is_in_a_sentence(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.split("\n\n")[0].rstrip().endswith((".", ":", '"'))


def test_planning_needs_neither_the_orchestrator_nor_a_model_library() -> None:
    code = f"import sys, pipeline.graph; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_no_file_names_this_machine_or_unsafe_loading() -> None:
    unsafe = ("import pickle", "yaml.load(", "trust_remote_code=True", "weights_only=False")
    found = [
        (name_of(path), word)
        for path in FILES
        for word in (*unsafe, str(CHECKOUT))
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []
