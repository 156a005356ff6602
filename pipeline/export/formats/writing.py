"""An export from beginning to end: written aside, measured, described, and moved in place."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pipeline import __version__
from pipeline.disk import disk_errors
from pipeline.errors import ConfigError, InputError
from pipeline.export.formats import parity
from pipeline.export.formats.card import card
from pipeline.export.formats.manifest import MANIFEST, VERSION
from pipeline.export.formats.source import Source, open_source, tokens_of, write_json
from pipeline.export.formats.table import FORMATS, Format
from pipeline.records import Record
from pipeline.settings import Home

log = logging.getLogger(__name__)

LIBRARIES: Final = (
    "torch", "transformers", "tokenizers", "peft", "safetensors", "sentence-transformers",
    "onnx", "onnxruntime", "gguf", "xllamacpp",
)  # fmt: skip


class Request(Record):
    """What is asked for; an empty form or precision is the format's first."""

    format: str
    form: str = ""
    precision: str = ""


def export(model: Path, request: Request, out: Path, home: Home) -> dict[str, Any]:
    """Write ``model`` in another format to the new folder ``out``; return its manifest.

    The folder appears whole and measured, or not at all.

    Raises:
        ConfigError: when the format has no such form or precision.
        InputError: when ``out`` holds something, the model cannot be exported, or the export's
            vectors are not the model's.
        ArtifactError: when the model is damaged or of a newer version.
        ResourceError: when a package is missing, or the disk is full.
    """
    chosen = settle(request)
    _check_free(out)
    source = open_source(model, home)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            found = _write(source, chosen, aside)
            aside.chmod(0o755)
            aside.rename(out)  # over an empty folder, too
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return found


def settle(request: Request) -> Request:
    """Return the request with nothing left open.

    Raises:
        ConfigError: names what the format has.
    """
    if request.format not in FORMATS:
        message = f"there is no format {request.format!r}; there are {', '.join(FORMATS)}"
        raise ConfigError(message)
    known = FORMATS[request.format]
    form, precision = request.form or known.forms[0], request.precision or known.precisions[0]
    if form not in known.forms:
        message = f"the format {request.format} is {' or '.join(known.forms)}, not {form}"
        raise ConfigError(message)
    if precision not in known.precisions:
        message = (
            f"the format {request.format} has the precisions {', '.join(known.precisions)}, "
            f"not {precision}"
        )
        raise ConfigError(message)
    if form == "adapter" and precision != "f32":
        message = "adapters keep the precision they were trained in: leave --precision out"
        raise ConfigError(message)
    return Request(format=request.format, form=form, precision=precision)


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        message = f"{out} is there already and not an empty folder: give another, or remove it"
        raise InputError(message)


def _write(source: Source, request: Request, folder: Path) -> dict[str, Any]:
    known = FORMATS[request.format]
    log.info("writing %s (%s, %s)", request.format, request.form, request.precision)
    facts = known.write(source, folder, request.precision, request.form)
    manifest = _manifest(source, request, facts)
    write_json(folder / MANIFEST, manifest)
    log.info("measuring")
    manifest["parity"] = _parity(source, request, folder, known)
    write_json(folder / MANIFEST, manifest)
    text = card(source, manifest)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return manifest


def _manifest(source: Source, request: Request, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "export_version": VERSION,
        **request.model_dump(),
        "source": {"digest": source.digest, "backbone": source.public_backbone},
        "encoder": source.spec.model_dump() | {"backbone": source.public_backbone},
        "dimensions": source.encoder.dimensions,
        "tokens": tokens_of(source).model_dump(mode="json"),
        **facts,
        "versions": {"angle-adapt": __version__} | _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _parity(source: Source, request: Request, folder: Path, known: Format) -> dict[str, Any]:
    """Return how equal the export is; refuse one that is not equal enough."""
    texts = parity.texts_for(source)
    own = source.encoder.encode(texts, "the model")
    exported = known.vectors(folder, texts, source.home)
    figures = parity.measure(own, exported, texts, known.bounds[request.precision])
    parity.check(figures, f"the export to {request.format} ({request.precision})")
    return figures
