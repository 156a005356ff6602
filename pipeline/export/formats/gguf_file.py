"""One GGUF file for llama.cpp's embedding server: weights, tokenizer, pooling.

Names and meaning of the metadata: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from gguf import (
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    PoolingType,
    get_tensor_name_map,
)
from gguf.quants import quantize
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedConfig

from pipeline.encoder import Vectors
from pipeline.encoder.attention import is_causal
from pipeline.encoder.template import Template
from pipeline.errors import InputError
from pipeline.export.formats import llama
from pipeline.export.formats.gguf_tokens import write_tokenizer
from pipeline.export.formats.manifest import read_manifest, require
from pipeline.export.formats.source import (
    Source,
    context,
    refuse_opened_layers,
    tokens_of,
)
from pipeline.settings import Home

FILE: Final = "model.gguf"
POOLINGS: Final = {"last": PoolingType.LAST, "mean": PoolingType.MEAN, "cls": PoolingType.CLS}


class _Precision(NamedTuple):
    file: LlamaFileType
    matrix: GGMLQuantizationType


PRECISIONS: Final = {
    "f32": _Precision(LlamaFileType.ALL_F32, GGMLQuantizationType.F32),
    "f16": _Precision(LlamaFileType.MOSTLY_F16, GGMLQuantizationType.F16),
    "q8_0": _Precision(LlamaFileType.MOSTLY_Q8_0, GGMLQuantizationType.Q8_0),
}


class _Kind(NamedTuple):
    """How llama.cpp calls a kind of model, and whether it wants heads in its own order."""

    arch: MODEL_ARCH
    reordered: bool


KINDS: Final = {
    "llama": _Kind(MODEL_ARCH.LLAMA, reordered=True),
    "mistral": _Kind(MODEL_ARCH.LLAMA, reordered=True),
    "qwen2": _Kind(MODEL_ARCH.QWEN2, reordered=False),
    "bert": _Kind(MODEL_ARCH.BERT, reordered=False),
}
# Position tables and the head over [CLS]: not used for vectors.
_LEFT_OUT: Final = ("pooler.", "embeddings.position_ids")
_WHOLE: Final = ("position_embd.weight", "token_types.weight")  # looked up, never multiplied


def write(source: Source, folder: Path, precision: str, form: str) -> dict[str, Any]:  # noqa: ARG001
    """Write the file and the tokenizer; return what a reader of the manifest should know.

    Raises:
        InputError: when llama.cpp cannot do what the model does; says which format can.
    """
    kind = _check(source)
    tokens, model = tokens_of(source), source.encoder.model
    config = model.config.get_text_config()
    writer = GGUFWriter(folder / FILE, kind.arch.name.lower())
    writer.add_name(source.path.resolve().name)
    writer.add_file_type(PRECISIONS[precision].file)
    _write_shape(writer, config, context(source))
    writer.add_pooling_type(POOLINGS[source.spec.pooling])
    writer.add_causal_attention(is_causal(model))
    write_tokenizer(writer, source.encoder.tokenizer, tokens, config.vocab_size)
    for name, values, matrix in _tensors(source, kind, PRECISIONS[precision].matrix):
        writer.add_tensor(name, values, raw_dtype=matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    source.encoder.tokenizer.save_pretrained(folder)
    return {
        "needs": "llama.cpp",
        "texts": "in the template",
        "server_dimensions": int(config.hidden_size),
        "server_batch": llama.room(tokens.limit),
    }


def vectors(folder: Path, texts: Sequence[str], home: Home) -> Vectors:  # noqa: ARG001
    """Return what llama.cpp's server answers, (texts, dimensions).

    A text goes there in its template, one that has to be cut as the token ids of what is left. The
    server knows nothing of ``dimensions``: where fewer are kept than the model has, the client
    keeps them and makes the vectors unit length again, as is done here.

    Raises:
        ResourceError: when llama.cpp's server is not installed.
        InputError: when a file is missing, or the server refuses it.
    """
    manifest = read_manifest(folder)
    require(folder, FILE, "tokenizer.json")
    tokenizer, tokens = AutoTokenizer.from_pretrained(folder), manifest["tokens"]
    spec = manifest["encoder"]
    rows = Template(tokenizer, spec["template"], spec["max_length"]).ids(texts, tokens["pad"])
    valid = [text.encode("utf-8", "replace").decode() for text in texts]
    sent = [tokens["before"] + text + tokens["after"] for text in valid]
    whole = [tokenizer(text, verbose=False)["input_ids"] for text in sent]
    asked = [text if ids == row else row for text, ids, row in zip(sent, whole, rows, strict=True)]
    found = llama.embed(folder / FILE, tokens["limit"], asked)
    kept = found[:, : manifest["dimensions"]]
    unit_length: Vectors = kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)
    return unit_length


def _check(source: Source) -> _Kind:
    """Return the kind of the model, or refuse what llama.cpp would do otherwise."""
    refuse_opened_layers(source, "GGUF")
    config = source.encoder.model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    window = getattr(config, "sliding_window", None) or 0
    wrong = ""
    if config.model_type not in KINDS:
        wrong = f"models of the kind {config.model_type}; there are {', '.join(KINDS)}"
    elif source.spec.pooling not in POOLINGS:
        wrong = f"{source.spec.pooling} pooling; there are {', '.join(POOLINGS)}"
    elif rope.get("rope_type", "default") != "default":
        wrong = f"rotary positions of the kind {rope['rope_type']}"
    elif 0 < window < tokens_of(source).limit:
        wrong = f"attention in a window of {window} tokens, shorter than the texts"
    if wrong:
        message = f"GGUF is not written for {wrong}: export as onnx or sentence-transformers"
        raise InputError(message)
    return KINDS[config.model_type]


def _write_shape(writer: GGUFWriter, config: PreTrainedConfig, length: int) -> None:
    heads = int(config.num_attention_heads)
    writer.add_context_length(length)
    writer.add_vocab_size(config.vocab_size)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    if config.model_type == "bert":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        return
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _tensors(
    source: Source, kind: _Kind, matrix: GGMLQuantizationType
) -> Iterator[tuple[str, NDArray[Any], GGMLQuantizationType]]:
    """Yield name, values and type of every tensor; vectors and odd matrices stay precise."""
    model = source.encoder.model
    config = model.config.get_text_config()
    names = get_tensor_name_map(kind.arch, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key.startswith(_LEFT_OUT):
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            message = f"GGUF has no place for the tensor {key}: export as sentence-transformers"
            raise InputError(message)
        values = _ordered(key, tensor, config) if kind.reordered else tensor
        yield (name, *_stored(name, values.to(torch.float32).cpu().numpy(), matrix))


def _stored(
    name: str, values: NDArray[np.float32], matrix: GGMLQuantizationType
) -> tuple[NDArray[Any], GGMLQuantizationType]:
    if values.ndim < 2 or name in _WHOLE:
        return values, GGMLQuantizationType.F32
    if matrix == GGMLQuantizationType.Q8_0 and values.shape[-1] % 32:
        matrix = GGMLQuantizationType.F16  # a block of Q8_0 holds 32 numbers of a row
    if matrix == GGMLQuantizationType.F32:
        return values, matrix
    if matrix == GGMLQuantizationType.F16:
        return values.astype(np.float16), matrix
    return quantize(values, matrix), matrix


def _ordered(key: str, tensor: Tensor, config: PreTrainedConfig) -> Tensor:
    """Return queries and keys with the two halves of each head interleaved.

    transformers turns dimension i of a head with i + half, llama.cpp 2i with 2i + 1.
    """
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": config.num_key_value_heads,
    }.get(key.split(".")[-2])
    if heads is None:
        return tensor
    rest = tensor.shape[1:]
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *rest)
    return halves.swapaxes(1, 2).reshape(tensor.shape)
