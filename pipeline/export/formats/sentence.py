"""The folder that ``SentenceTransformer(path)`` loads, without code in it and without options.

sentence-transformers knows prompts in front of a text only, and cuts at the end of what it is
given. A template that goes on after the text is therefore written as a chat template, which is
text: since version 6.2 the end of such a template is put back over what the cut took away
(https://sbert.net, "restore_suffix"). A template that is only in front is a prompt.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pipeline.encoder import Vectors, backbone
from pipeline.encoder.spec import ADAPTER_FILE
from pipeline.errors import InputError, ResourceError
from pipeline.export.formats import adapter
from pipeline.export.formats.source import (
    Source,
    Tokens,
    built_in,
    refuse_opened_layers,
    tokens_of,
    write_json,
)
from pipeline.settings import Home

PRECISIONS: Final = {"f32": torch.float32, "f16": torch.float16}
POOLINGS: Final[dict[str, str | list[str]]] = {
    "last": "lasttoken",
    "mean": "mean",
    "weighted_mean": "weightedmean",
    "cls": "cls",
    "cls_mean": ["cls", "mean"],  # side by side; a linear layer takes their mean
}
_TYPES: Final = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}
_STATES: Final = {"method": "forward", "method_output_name": "last_hidden_state"}


def write(source: Source, folder: Path, precision: str, form: str) -> dict[str, Any]:
    """Write the folder; return what a reader of its manifest should know.

    Raises:
        InputError: when sentence-transformers cannot do what the model does.
    """
    refuse_opened_layers(source, "sentence-transformers")
    tokens = tokens_of(source)
    if form == "adapter":
        adapter.refuse_changed_backbone(source)
        adapter.write_weights(source, folder)
    else:
        _write_weights(source, folder, PRECISIONS[precision])
    asked = _asks(source.encoder.tokenizer, tokens)
    _write_tokenizer(source.encoder.tokenizer, tokens, folder, asked)
    _write_modules(source, folder, precision)
    write_json(folder / "sentence_bert_config.json", _transformer(form, wrapped=asked))
    write_json(folder / "config_sentence_transformers.json", _prompts(tokens, wrapped=asked))
    needs = "sentence-transformers>=6.2" if asked else "sentence-transformers>=5.0"
    return {"needs": needs, "template": "chat template" if asked else "prompt"}


def vectors(folder: Path, texts: Sequence[str], home: Home) -> Vectors:
    """Return what ``SentenceTransformer(folder).encode(texts)`` gives, (texts, dimensions).

    An adapter on a built-in backbone names it as the Hub does; the local copy stands in for it.

    Raises:
        ResourceError: when sentence-transformers is not installed.
    """
    if find_spec("sentence_transformers") is None:
        message = (
            "checking the export needs sentence-transformers: "
            "pip install 'angle-adapt[sentence-transformers]'"
        )
        raise ResourceError(message)
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - optional, and slow

    with tempfile.TemporaryDirectory() as aside:
        place = _with_local_backbone(folder, Path(aside), home)
        model = SentenceTransformer(str(place), device="cpu")
        found = model.encode(list(texts), batch_size=8, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)


def _with_local_backbone(folder: Path, aside: Path, home: Home) -> Path:
    path = folder / ADAPTER_FILE
    if not path.is_file():
        return folder
    settings = json.loads(path.read_text(encoding="utf-8"))
    public = settings["base_model_name_or_path"]
    if built_in(public) == public:
        return folder
    for file in folder.iterdir():
        (aside / file.name).symlink_to(file.resolve())
    (aside / ADAPTER_FILE).unlink()
    settings["base_model_name_or_path"] = backbone.folder(built_in(public), home)
    write_json(aside / ADAPTER_FILE, settings)
    return aside


def _write_weights(source: Source, folder: Path, dtype: torch.dtype) -> None:
    model = copy.deepcopy(source.encoder.model)
    model.config.dtype = dtype
    for parameter in model.parameters():
        parameter.data = parameter.data.to("cpu", dtype)
    model.save_pretrained(folder)


def _asks(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> bool:
    """Return whether the template has to be written as a chat template.

    It has to be where it goes on after the text, and where an empty text would be no token at all.
    """
    empty = not tokenizer(tokens.before)["input_ids"]
    return bool(tokens.after) or empty


def _write_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tokens,
    folder: Path,
    wrapped: bool,  # noqa: FBT001
) -> None:
    copied = copy.deepcopy(tokenizer)
    copied.padding_side = copied.truncation_side = "right"
    copied.model_max_length = tokens.limit
    copied.chat_template = _chat_template(tokenizer, tokens) if wrapped else None
    copied.save_pretrained(folder)


def _chat_template(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> str:
    """Return the template around a text, and around a prompt before it, as Jinja.

    Tokens that the tokenizer would add by itself are spelled out: a chat template gets none.
    """
    opening, closing = (
        "".join(tokenizer.convert_ids_to_tokens(list(ids)))
        for ids in (tokens.opening, tokens.closing)
    )
    text = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    before, after = (_literal(part) for part in (opening + tokens.before, tokens.after + closing))
    if opening + tokens.before + tokens.after + closing:
        return before + text + after
    empty = _literal(str(tokenizer.convert_ids_to_tokens(tokens.pad)))
    return text + "{% if messages[-1]['content'] == '' %}" + empty + "{% endif %}"


def _literal(text: str) -> str:
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""


def _write_modules(source: Source, folder: Path, precision: str) -> None:
    width: int = source.encoder.model.config.get_text_config().hidden_size
    kinds = ["Transformer", "Pooling", "Normalize"]
    pooling = {"embedding_dimension": width, "pooling_mode": POOLINGS[source.spec.pooling]}
    write_json(folder / "1_Pooling" / "config.json", pooling | {"include_prompt": True})
    weight = _projection(source.spec.pooling, width, source.encoder.dimensions)
    if weight is not None:
        if precision != "f32":
            message = (
                "the linear layer behind the pooling is float32, and sentence-transformers does "
                f"not convert its input from {precision}: export with --precision f32"
            )
            raise InputError(message)
        kinds.insert(2, "Dense")
        _write_dense(folder / "2_Dense", weight)
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": "" if kind == "Transformer" else f"{place}_{kind}",
            "type": _TYPES[kind],
        }
        for place, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / f"{len(kinds) - 1}_Normalize" / "config.json", {})


def _projection(pooling: str, width: int, dimensions: int) -> Tensor | None:
    """Return the matrix that does what no pooling of theirs does, (dimensions, pooled width)."""
    kept = torch.eye(width)[:dimensions]
    if pooling == "cls_mean":
        return torch.cat([kept, kept], dim=1) / 2
    return kept if dimensions < width else None


def _write_dense(folder: Path, weight: Tensor) -> None:
    write_json(
        folder / "config.json",
        {
            "in_features": weight.shape[1],
            "out_features": weight.shape[0],
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    save_file({"linear.weight": weight.contiguous()}, folder / "model.safetensors")


def _transformer(form: str, *, wrapped: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"text": _STATES}
    if wrapped:
        found["message"] = _STATES | {"format": "flat"}
    # A backbone stored in half precision would be used in it, and the adapters with it.
    loaded = {"model_kwargs": {"dtype": "float32"}} if form == "adapter" else {}
    return loaded | {
        "transformer_task": "feature-extraction",
        "modality_config": found,
        "module_output_name": "token_embeddings",
    }


def _prompts(tokens: Tokens, *, wrapped: bool) -> dict[str, Any]:
    prompt = "" if wrapped else tokens.before
    return {
        "model_type": "SentenceTransformer",
        "prompts": {name: prompt for name in ("query", "document", "text")},
        "default_prompt_name": "text" if prompt else None,
        "similarity_fn_name": "cosine",
    }
