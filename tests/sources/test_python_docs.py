from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import CHECKOUT
from pipeline.records import Document, text_id
from pipeline.sections import CollectSettings
from pipeline.sources import python_docs

SETTINGS = CollectSettings()
SHELF = Path()  # nothing is fetched


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(python_docs.read(SETTINGS, SHELF))


def test_there_are_at_least_four_thousand_different_usable_texts(documents: list[Document]) -> None:
    usable = {document.id for document in documents if len(document.text.split()) >= 4}
    assert len(usable) >= 4_000


def test_every_text_says_where_it_comes_from(documents: list[Document]) -> None:
    assert {document.licence for document in documents} == {"PSF-2.0"}
    assert {d.source for d in documents} == {f"python-docs {platform.python_version()}"}
    assert all(document.id == text_id(document.text) for document in documents)


def test_modules_classes_methods_and_functions_are_there(documents: list[Document]) -> None:
    names = {document.name for document in documents}
    assert {
        "json", "json.encoder.JSONEncoder", "json.encoder.JSONEncoder.encode", "textwrap.dedent",
        "builtins.len", "builtins.str.split", "math.sqrt", "posixpath.join",
    } <= names  # fmt: skip


def test_only_public_names_of_the_standard_library_are_read(documents: list[Document]) -> None:
    for document in documents:
        parts = document.name.split(".")
        assert not any(part.startswith("_") for part in parts), document.name
        assert parts[0] in sys.stdlib_module_names
        assert not {"test", "tests", "idlelib"} & set(parts[:-1])


def test_texts_hold_no_markup_and_no_code_examples(documents: list[Document]) -> None:
    leftovers = re.compile(r"``|>>> |:(func|class|meth|exc|mod|ref):`|^\w+\(.*\) ->", re.MULTILINE)
    assert [document.name for document in documents if leftovers.search(document.text)] == []


def test_the_fingerprint_names_the_interpreter() -> None:
    assert platform.python_version() in python_docs.fingerprint(SETTINGS, SHELF)


READ = """
import sys
from pathlib import Path
from pipeline.sections import CollectSettings
from pipeline.sources import python_docs
lines = [document.model_dump_json() for document in python_docs.read(CollectSettings(), None)]
Path(sys.argv[1]).write_text("\\n".join(lines), encoding="utf-8")
sys.exit("turtle" in sys.modules or "smtplib" in sys.modules)
"""


def test_a_new_process_reads_the_same_in_the_same_order_without_a_word_or_an_import(
    documents: list[Document], tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "error", "-c", READ, str(tmp_path / "documents")]
    run = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")
    lines = (tmp_path / "documents").read_text(encoding="utf-8").split("\n")
    assert lines == [document.model_dump_json() for document in documents]
