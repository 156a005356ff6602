"""The documentation of Python's standard library, as the running interpreter carries it.

Modules written in Python are parsed, never imported, so nothing in them runs. Modules compiled into
the interpreter or shipped as extensions have no source and are imported.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from pipeline.records import Document, text_id
from pipeline.sections import CollectSettings
from pipeline.sources.prose import prose

LICENCE: Final = "PSF-2.0"
SKIPPED: Final = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "turtledemo", "antigravity", "this", "site-packages",
     "ensurepip", "__phello__", "pydoc_data"}
)  # fmt: skip

# Modules whose public face is another module.
_ALIASES: Final = {"posix": "os", "nt": "os"}


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Do nothing: the interpreter carries its documentation."""


def fingerprint(settings: CollectSettings, shelf: Path) -> str:  # noqa: ARG001 - a `Source`
    """Return what decides the content of this source: the interpreter's full version."""
    return f"{platform.python_implementation()} {sys.version} {sys.platform}"


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document]:  # noqa: ARG001 - a `Source`
    """Yield a document for every public module, class, method and function with prose."""
    source = f"python-docs {platform.python_version()}"
    for name, docstring in _docstrings():
        text = prose(docstring)
        if text:
            yield Document(
                id=text_id(text),
                text=text,
                name=name,
                source=source,
                url=f"https://docs.python.org/3/library/{name.split('.')[0]}.html",
                licence=LICENCE,
            )


def _docstrings() -> Iterator[tuple[str, str]]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        if _is_public(relative.with_suffix("").parts):
            yield from _parsed(path, relative)
    extensions = {path.name.split(".")[0] for path in (library / "lib-dynload").glob("*.so")}
    for module in sorted(extensions | set(sys.builtin_module_names)):
        public = module.removeprefix("_")
        if "test" not in public and _is_public((public,)):
            yield from _imported(module, _ALIASES.get(public, public))


def _is_public(parts: tuple[str, ...]) -> bool:
    return parts[0] in sys.stdlib_module_names and not any(
        part in SKIPPED or (part.startswith("_") and part != "__init__") for part in parts
    )


def _parsed(path: Path, relative: Path) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, OSError):
        return
    module = ".".join(part for part in relative.with_suffix("").parts if part != "__init__")
    yield from _walk(tree, module)


def _walk(node: ast.Module | ast.ClassDef, name: str) -> Iterator[tuple[str, str]]:
    if docstring := ast.get_docstring(node):
        yield name, docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _walk(child, f"{name}.{child.name}")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(child)
            if docstring and not child.name.startswith("_"):
                yield f"{name}.{child.name}", docstring


def _imported(module: str, public: str) -> Iterator[tuple[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated modules have documentation too
            loaded = importlib.import_module(module)
    except (ImportError, OSError):  # built without it, or a shared library it needs is absent
        return
    if isinstance(loaded.__doc__, str):
        yield public, loaded.__doc__
    yield from _members(loaded, public)


def _members(owner: ModuleType | type, name: str) -> Iterator[tuple[str, str]]:
    for key, current in sorted(vars(owner).items()):
        # Hooks such as sys.excepthook may have been replaced; sys keeps the original.
        value = vars(owner).get(f"__{key}__", current) if owner is sys else current
        docstring = getattr(value, "__doc__", None)
        if key.startswith("_") or not isinstance(docstring, str):
            continue
        if inspect.isclass(value):
            if inspect.ismodule(owner) and value.__name__ == key:
                yield f"{name}.{key}", docstring
                yield from _members(value, f"{name}.{key}")
        elif callable(value) or inspect.isdatadescriptor(value):
            yield f"{name}.{key}", docstring
