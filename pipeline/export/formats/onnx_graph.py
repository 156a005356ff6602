"""One ONNX graph from token ids and mask to unit-length vectors, run by onnxruntime.

Traced by ``torch.export``, so whatever the model does is in it: cut layers, layers that see later
tokens, every pooling. In int8 a scale is that of 64 weights in a row, and of as many activations as
they come: language models have single activations a thousand times the others (Sun et al.,
arXiv 2402.17762), which under one scale for all of them leave nothing of the rest.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from transformers import AutoTokenizer

from pipeline.encoder import Vectors, pooling
from pipeline.encoder.batches import by_length
from pipeline.encoder.template import Template
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError, ResourceError
from pipeline.export.formats.manifest import read_manifest, require
from pipeline.export.formats.source import Source
from pipeline.settings import Home

PRECISIONS: Final = ("f32", "int8")
GRAPH: Final = "model.onnx"
INPUTS: Final = ("input_ids", "attention_mask")
OUTPUT: Final = "sentence_embedding"
_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
_BATCH_TOKENS: Final = 2_048
_BLOCK: Final = 64  # numbers with one scale
_IN_INTEGERS: Final = 4  # onnxruntime's name for products of 8-bit integers


class _Pooled(Module):
    """The model as a function of ids and mask, both (texts, tokens), to (texts, dimensions)."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.model, self.how, self.dimensions = (
            encoder.model,
            encoder.spec.pooling,
            encoder.dimensions,
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return vectors of unit length."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        pooled = pooling.pool(states.last_hidden_state, attention_mask, self.how)
        return torch.nn.functional.normalize(pooled[:, : self.dimensions].float(), dim=-1)


def write(source: Source, folder: Path, precision: str, form: str) -> dict[str, Any]:  # noqa: ARG001
    """Write the graph and the tokenizer; return what a reader of the manifest should know.

    Raises:
        ResourceError: when a package is missing.
        InputError: when the model cannot be traced.
    """
    needed()
    path = folder / GRAPH if precision == "f32" else folder / "float32" / GRAPH
    path.parent.mkdir(exist_ok=True)
    _trace(source, path)
    if precision == "int8":
        _quantise(path, folder / GRAPH)
    source.encoder.tokenizer.save_pretrained(folder)
    return {"needs": "onnxruntime, tokenizers", "inputs": list(INPUTS), "output": OUTPUT}


def vectors(folder: Path, texts: Sequence[str], home: Home) -> Vectors:  # noqa: ARG001
    """Return what onnxruntime makes of the texts' token ids, (texts, dimensions).

    Raises:
        ResourceError: when onnxruntime is missing.
        InputError: when a file is missing.
    """
    needed(("onnxruntime",))
    from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415 - optional

    manifest = read_manifest(folder)
    require(folder, GRAPH, "tokenizer.json")
    spec = manifest["encoder"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = Template(tokenizer, spec["template"], spec["max_length"])
    rows = template.ids(texts, manifest["tokens"]["pad"])
    options = SessionOptions()
    options.log_severity_level = 3
    session = InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
    found = np.zeros((len(rows), manifest["dimensions"]), dtype=np.float32)
    for chosen in by_length([len(row) for row in rows], _BATCH_TOKENS):
        fed = _padded([rows[index] for index in chosen], manifest["tokens"]["pad"])
        found[chosen] = session.run([OUTPUT], fed._asdict())[0]
    return found


class _Fed(NamedTuple):
    input_ids: np.ndarray[Any, np.dtype[np.int64]]
    attention_mask: np.ndarray[Any, np.dtype[np.int64]]


def _padded(rows: Sequence[Sequence[int]], pad: int) -> _Fed:
    shape = (len(rows), max(map(len, rows)))
    ids, mask = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    return _Fed(ids, mask)


def needed(packages: Sequence[str] = _PACKAGES) -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        ResourceError: names what is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        message = f"the onnx format needs {', '.join(missing)}: pip install 'angle-adapt[onnx]'"
        raise ResourceError(message)


def _trace(source: Source, path: Path) -> None:
    place = source.encoder.model.device
    pooled = _Pooled(source.encoder).eval().to("cpu")
    example = torch.ones((2, 7), dtype=torch.long)
    mask = torch.ones_like(example)
    mask[0, 5:] = 0
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(
                pooled,
                (example, mask),
                dynamic_shapes=dict.fromkeys(INPUTS, free),
                strict=False,
            )
            program = torch.onnx.export(
                traced,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # noqa: S101 - it is None without dynamo
            program.save(path)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = (
            f"{type(source.encoder.model).__name__} cannot be traced: {reason}; "
            "export it as sentence-transformers"
        )
        raise InputError(message) from error
    finally:
        pooled.to(place)


def _quantise(whole: Path, path: Path) -> None:
    """Write the graph with its matrices in 8 bits, and remove the one in float32."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - optional
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - optional
        MatMulNBitsQuantizer,
    )

    with _quiet():
        matrices = MatMulNBitsQuantizer(
            str(whole), bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=_IN_INTEGERS
        )
        matrices.process()
        quantize_dynamic(
            matrices.model.model, path, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8
        )
    for file in whole.parent.iterdir():
        file.unlink()
    whole.parent.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter tells its developers to itself."""
    loggers = [logging.getLogger(name) for name in (None, "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
