"""Texts to vectors and back to a file, for the commands `encode` and `similarity`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flows import models
from pipeline.disk import disk_errors
from pipeline.encoder import Vectors, cosine
from pipeline.errors import InputError
from pipeline.settings import home

SUFFIXES: Final = (".npy", ".parquet")


def read_texts(path: Path | None) -> list[str]:
    """Return the lines of a file, or of stdin when there is none; each line is a text.

    Raises:
        InputError: when there is nothing to read, or it is not UTF-8 text.
    """
    where = str(path) if path else "stdin"
    try:
        data = path.read_bytes() if path else sys.stdin.buffer.read()
        lines = data.decode("utf-8-sig").split("\n")
    except OSError as error:
        message = f"cannot read {where}: {error.strerror}"
        raise InputError(message) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{where}, line {line}: it is not UTF-8 text"
        raise InputError(message) from error
    texts = [line.removesuffix("\r") for line in lines]
    if texts[-1] == "":
        texts.pop()
    if not texts:
        message = f"{where} is empty; give one text per line"
        raise InputError(message)
    return texts


def encode_to(model: str, texts: Sequence[str], out: Path) -> Vectors:
    """Write the vectors of ``texts`` to ``out``, whole or not at all, and return them.

    Raises:
        InputError: when ``out`` is of no known format, before any model is loaded.
    """
    if out.suffix not in SUFFIXES:
        message = f"{out}: the output's name ends in {' or '.join(SUFFIXES)}"
        raise InputError(message)
    if not out.absolute().parent.is_dir():
        message = f"{out}: there is no folder {out.absolute().parent}"
        raise InputError(message)
    vectors = encode(model, texts)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(out):
            _write(aside, out.suffix, texts, vectors)
            aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
    return vectors


def _write(path: Path, suffix: str, texts: Sequence[str], vectors: Vectors) -> None:
    if suffix == ".npy":
        import numpy as np  # noqa: PLC0415 - whichever the format needs

        with path.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)
        return
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    flat = pa.array(vectors.reshape(-1), type=pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    pq.write_table(pa.table({"text": list(texts), "vector": column}), path)


def similarity(model: str, text1: str, text2: str) -> float:
    """Return the cosine of two texts' vectors."""
    vectors = encode(model, [text1, text2])
    return float(cosine(vectors[:1], vectors[1:])[0])


def encode(model: str, texts: Sequence[str]) -> Vectors:
    """Return the vectors of ``texts`` under the model that a user names."""
    place = models.find(model)
    from pipeline.encoder import transformer  # noqa: PLC0415 - imports torch

    return transformer.load_model(place, home()).encode(texts)
