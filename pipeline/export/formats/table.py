"""Every format by its name: how it is written, and what makes vectors of it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.encoder import Vectors
from pipeline.errors import ConfigError
from pipeline.export.formats import adapter, gguf_file, onnx_graph, sentence
from pipeline.export.formats.source import Source
from pipeline.settings import Home, home


class Format(NamedTuple):
    """A format; its first form and precision are chosen where none is asked for.

    ``write`` takes source, folder, precision and form. ``bounds`` are the lowest cosines with the
    model's float32 vectors that count as equal, by precision.
    """

    write: Callable[[Source, Path, str, str], dict[str, Any]]
    vectors: Callable[[Path, Sequence[str], Home], Vectors]
    forms: tuple[str, ...]
    bounds: Mapping[str, float]

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those in which the format can be written."""
        return tuple(self.bounds)


FORMATS: Final[dict[str, Format]] = {
    "sentence-transformers": Format(
        sentence.write,
        sentence.vectors,
        ("merged", "adapter"),
        {"f32": 0.9999, "f16": 0.999},
    ),
    "peft": Format(adapter.write, adapter.vectors, ("adapter",), {"f32": 0.9999}),
    "onnx": Format(onnx_graph.write, onnx_graph.vectors, ("merged",), {"f32": 0.999, "int8": 0.98}),
    "gguf": Format(
        gguf_file.write,
        gguf_file.vectors,
        ("merged",),
        {"f32": 0.999, "f16": 0.999, "q8_0": 0.98},
    ),
}


def vectors_of(name: str, folder: Path, texts: Sequence[str]) -> Vectors:
    """Return the vectors that an export makes, float32, unit length, (texts, dimensions).

    Raises:
        ConfigError: when there is no format of this name.
        InputError: when the folder is no export, or incomplete.
        ArtifactError: when it is of a newer version.
        ResourceError: when the package that reads it is missing.
    """
    if name not in FORMATS:
        message = f"there is no format {name!r}; there are {', '.join(FORMATS)}"
        raise ConfigError(message)
    return FORMATS[name].vectors(folder, texts, home())
