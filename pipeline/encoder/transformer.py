"""A transformer backbone as an encoder: template around the text, pooling, unit length.

The template is wrapped around the *truncated* text, so no token of the template is ever cut: with
last-token pooling the template's end is where the vector is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pipeline.artifacts import stage_key
from pipeline.disk import file_digest
from pipeline.encoder import Vectors, backbone
from pipeline.errors import ArtifactError, InputError
from pipeline.progress import Progress
from pipeline.records import Record
from pipeline.settings import Home

# Its bars would hide ours.
transformers_logging.disable_progress_bar()

MODEL_FILE: Final = "angle_adapt.json"
FORMAT_VERSION: Final = 1


class EncoderSpec(Record):
    """How a text becomes a vector; saved with every model and never re-typed by a user."""

    backbone: str
    revision: str = ""
    template: str
    pooling: str
    max_length: int

    @classmethod
    def of(cls, settings: BaseModel) -> EncoderSpec:
        """Return the spec that the ``encoder`` section of a configuration asks for."""
        return cls.model_validate(settings.model_dump())


class Batch(NamedTuple):
    """Token ids of some texts, padded on the right; ``lengths`` counts real tokens."""

    rows: list[int]
    tokens: Tensor
    lengths: Tensor


def device() -> torch.device:
    """Return the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_dtype() -> torch.dtype:
    """Return bfloat16 where the processor multiplies it in hardware, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if supported else torch.float32


def attention(max_length: int) -> str:
    """Return the attention to load a model with: plain matrices are faster for short texts.

    On two cores, texts of 30 tokens: a tenth to a fifth more tokens a second than the fused kernel,
    forward and backward. The fused one needs less memory and wins on a GPU and for long texts.
    """
    return "eager" if device().type == "cpu" and max_length <= 256 else "sdpa"


class TransformerEncoder:
    """Backbone, tokenizer and spec; the plain implementation of the ``Encoder`` protocol."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: EncoderSpec,
        name: str,
    ) -> None:
        self.model, self.tokenizer, self.spec, self.identity = model, tokenizer, spec, name
        # Small batches stay in a processor's cache; a GPU wants large ones.
        self.max_tokens = 32_768 if model.device.type == "cuda" else 1_024
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions), float32.

        Equal texts are encoded once; batches hold texts of like length.
        """
        unique = list(dict.fromkeys(texts))
        rows = self.token_ids(unique)
        vectors = np.zeros((len(unique), self.model.config.hidden_size), dtype=np.float32)
        self.model.eval()
        with torch.inference_mode(), Progress(label, len(unique), "text") as progress:
            for batch in self.batches(rows):
                pooled = torch.nn.functional.normalize(self.embed(batch).float(), dim=-1)
                vectors[batch.rows] = pooled.cpu().numpy()
                progress.advance(len(batch.rows))
        place = {text: index for index, text in enumerate(unique)}
        return vectors[[place[text] for text in texts]]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text in its template, the text cut to ``max_length``."""
        if not texts:
            return []
        plain = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        cut = [
            text
            if len(offsets) <= self.spec.max_length
            else text[: offsets[self.spec.max_length - 1][1]]
            for text, offsets in zip(texts, plain["offset_mapping"], strict=True)
        ]
        before, _, after = self.spec.template.partition("{text}")
        wrapped = [before + text + after for text in cut]
        ids: list[list[int]] = self.tokenizer(wrapped)["input_ids"]
        return ids

    def batches(self, rows: list[list[int]]) -> Iterator[Batch]:
        """Yield batches of at most ``max_tokens`` tokens, padding included, longest first."""
        for chosen in by_length([len(row) for row in rows], self.max_tokens):
            yield pad([rows[index] for index in chosen], chosen, self.pad_id)

    def embed(self, batch: Batch) -> Tensor:
        """Return pooled vectors, shape (texts, dimensions), in the model's precision.

        Padding is on the right and attention is causal, so no real token sees padding and no
        attention mask is needed.
        """
        tokens, lengths = batch.tokens.to(self.model.device), batch.lengths.to(self.model.device)
        return self.pool(self.model(input_ids=tokens, use_cache=False).last_hidden_state, lengths)

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector a text from hidden states padded on the right."""
        if self.spec.pooling == "last":
            return hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1]
        real = torch.arange(hidden.shape[1], device=hidden.device)[None, :] < lengths[:, None]
        total: Tensor = (hidden.float() * real[..., None]).sum(dim=1)
        return total / lengths[:, None]


def by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length, longest first, ``max_tokens`` tokens with padding."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad(rows: list[list[int]], indices: list[int], pad_id: int) -> Batch:
    """Return ``rows`` as one tensor padded on the right."""
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(lengths.max())), pad_id, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row)
    return Batch(indices, tokens, lengths)


def load_backbone(
    spec: EncoderSpec, home: Home, dtype: torch.dtype | None = None
) -> TransformerEncoder:
    """Return the frozen backbone as an encoder; no LM head is loaded.

    Raises:
        InputError: when the backbone cannot be found or is not a transformer with safetensors.
    """
    dtype = dtype or fast_dtype()
    name = _identity(spec, adapter="", dtype=dtype)
    place = backbone.folder(spec.backbone, home)
    options: dict[str, Any] = {"revision": spec.revision} if spec.revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model = AutoModel.from_pretrained(
            place,
            dtype=dtype,
            attn_implementation=attention(spec.max_length),
            use_safetensors=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        message = f"cannot load the backbone {spec.backbone!r}: {reason}"
        raise InputError(message) from error
    return TransformerEncoder(model.to(device()), tokenizer, spec, name)


def load_model(path: Path, home: Home, dtype: torch.dtype | None = None) -> TransformerEncoder:
    """Return a model that this project trained, from its folder alone; LoRA merged in float32.

    Raises:
        InputError: when ``path`` is not such a folder.
        ArtifactError: when it was written by a newer version.
    """
    from peft import PeftModel  # noqa: PLC0415 - needed only for adapted models

    spec = read_description(path).encoder
    encoder = load_backbone(spec, home, torch.float32)
    adapted = PeftModel.from_pretrained(encoder.model, str(path))
    dtype = dtype or fast_dtype()
    merged = adapted.merge_and_unload().to(dtype)
    digest = stage_key("adapter", 1, weights=_weights_digest(path))
    return TransformerEncoder(merged, encoder.tokenizer, spec, _identity(spec, digest, dtype))


class ModelDescription(Record):
    """What a model directory says of itself, beside the adapter."""

    format_version: int
    encoder: EncoderSpec
    backbone_identity: str
    first_layer: int  # the lowest layer that has adapters
    train: dict[str, Any]


def read_description(path: Path) -> ModelDescription:
    """Return how the model in ``path`` makes vectors, and where it came from.

    Raises:
        InputError: when ``path`` is not a model of ours.
        ArtifactError: when it was written by another version.
    """
    try:
        saved = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} is not a model of ours: {MODEL_FILE} is missing or unreadable"
        raise InputError(message) from error
    if saved.get("format_version") != FORMAT_VERSION:
        found = saved.get("format_version")
        message = f"{path} has model format {found}; this version reads {FORMAT_VERSION}"
        raise ArtifactError(message)
    return ModelDescription.model_validate(saved)


def _weights_digest(path: Path) -> str:
    weights = path / "adapter_model.safetensors"
    if not weights.is_file():
        message = f"{path} is incomplete: {weights.name} is missing"
        raise InputError(message)
    return file_digest(weights)


def _identity(spec: EncoderSpec, adapter: str, dtype: torch.dtype) -> str:
    weights = backbone.identity(spec.backbone, spec.revision)
    how = spec.model_dump(exclude={"backbone", "revision"})
    return stage_key("encoder", 1, weights=weights, how=how, adapter=adapter, dtype=str(dtype))
