"""A transformer backbone as an encoder: template around the text, pooling, unit length."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.artifacts import stage_key
from pipeline.encoder import Vectors, backbone, pooling
from pipeline.encoder.attention import is_causal, open_layers
from pipeline.encoder.batches import Batch, by_length, common_start, pad, real_tokens
from pipeline.encoder.lanes import lanes_of, side_by_side
from pipeline.encoder.loading import (
    Pretrained,
    Request,
    fast_dtype,
    pretrained,
    room_for_text,
)
from pipeline.encoder.spec import (
    ADAPTER_FILE,
    VECTORS_VERSION,
    EncoderSpec,
    is_ours,
    read_description,
    spec_of,
)
from pipeline.encoder.stack import keep_layers
from pipeline.encoder.template import Template
from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.settings import Home

__all__ = [
    "EncoderSpec",
    "TransformerEncoder",
    "load_backbone",
    "load_model",
    "read_description",
    "spec_of",
]


WORTH: Final = 32  # texts from which on running their common start apart saves time


class Start(NamedTuple):
    """Keys and values of tokens that every text begins with."""

    length: int
    cache: DynamicCache | None

    def repeated(self, times: int) -> DynamicCache | None:
        """Return a copy for a batch of so many texts; it is added to when they run."""
        if self.cache is None:
            return None
        copied = copy.deepcopy(self.cache)
        copied.batch_repeat_interleave(times)
        return copied


NO_START: Final = Start(0, None)


class TransformerEncoder:
    """Backbone, tokenizer and spec; the plain implementation of the ``Encoder`` protocol.

    Raises:
        InputError: when the spec's pooling does not exist, or it asks for more dimensions than
            the model has.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: EncoderSpec,
        name: str,
    ) -> None:
        pooling.check(spec.pooling)
        self.model, self.tokenizer, self.spec, self.identity = model, tokenizer, spec, name
        width: int = model.config.get_text_config().hidden_size
        if spec.dimensions > width:
            message = f"encoder.dimensions is {spec.dimensions}, but the model has {width}"
            raise InputError(message)
        self.dimensions = spec.dimensions or width
        # Small batches stay in a processor's cache; a GPU wants large ones.
        self.max_tokens = 32_768 if model.device.type == "cuda" else 1_024
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._template = Template(tokenizer, spec.template, spec.max_length)
        self._causal = is_causal(model)

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions), float32.

        Equal texts are encoded once; batches hold texts of like length. An empty text has the
        vector of the template alone.
        """
        unique = list(dict.fromkeys(texts))
        rows = self.token_ids(unique)
        vectors = np.zeros((len(unique), self.dimensions), dtype=np.float32)
        if self.model.training:  # asked first: telling every module takes a millisecond
            self.model.eval()
        with torch.inference_mode(), Progress(label, len(unique), "text") as progress:
            start = self.start(rows)
            lanes = lanes_of(self.model.device, sum(map(len, rows)))

            def unit_length(batch: Batch) -> Tensor:
                return torch.nn.functional.normalize(self.embed(batch, start).float(), dim=-1).cpu()

            batches = self.batches([row[start.length :] for row in rows], lanes)
            for batch, pooled in side_by_side(batches, unit_length, lanes):
                vectors[batch.rows] = pooled.numpy()
                progress.advance(len(batch.rows))
        place = {text: index for index, text in enumerate(unique)}
        return vectors[[place[text] for text in texts]]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text in its template, the text cut to ``max_length``."""
        return self._template.ids(texts, self.pad_id)

    def batches(self, rows: list[list[int]], lanes: int = 1) -> Iterator[Batch]:
        """Yield batches of at most ``max_tokens`` tokens, padding included, longest first.

        Where there is too little for every lane, what there is is shared out.
        """
        share = -(-sum(map(len, rows)) // lanes)
        for chosen in by_length([len(row) for row in rows], min(self.max_tokens, share)):
            yield pad([rows[index] for index in chosen], chosen, self.pad_id)

    def embed(self, batch: Batch, start: Start = NO_START) -> Tensor:
        """Return pooled vectors, shape (texts, dimensions), in the model's precision.

        The tokens of ``start`` stand before those of every text.
        """
        tokens, mask = batch.tokens.to(self.model.device), self.attention_mask(batch.lengths)
        cache = start.repeated(len(tokens))
        states = self.model(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return self.pool(states.last_hidden_state, batch.lengths)

    def start(self, rows: list[list[int]]) -> Start:
        """Run the tokens that all rows begin with, those of the template, once for all of them.

        ``embed`` then takes what is left of the rows; both under ``torch.inference_mode``. Only for
        causal attention and the last token's state: no other token is read.
        """
        shared = common_start(rows)
        if not (self._causal and self.spec.pooling == "last" and shared and len(rows) >= WORTH):
            return NO_START
        tokens = torch.tensor([rows[0][:shared]], device=self.model.device)
        cache = self.model(input_ids=tokens, use_cache=True).past_key_values
        return Start(shared, cache) if type(cache) is DynamicCache else NO_START

    def attention_mask(self, lengths: Tensor) -> Tensor | None:
        """Return the mask to run texts of these lengths with, padded on the right; None: none.

        Where attention is causal, no real token sees the padding after it.
        """
        mask = None if self._causal else real_tokens(lengths)
        return None if mask is None else mask.to(self.model.device)

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector a text, (texts, dimensions), from states padded on the right."""
        mask = real_tokens(lengths)
        mask = None if mask is None else mask.to(hidden.device)
        return pooling.pool(hidden, mask, self.spec.pooling)[:, : self.dimensions]


def load_backbone(
    spec: EncoderSpec, home: Home, dtype: torch.dtype | None = None, quantization: str = "none"
) -> TransformerEncoder:
    """Return the frozen backbone as an encoder; no LM head is loaded.

    ``quantization`` "nf4" keeps the weights in 4 bits, for training adapters on them.

    Raises:
        InputError: when the backbone cannot be found, is not a transformer with safetensors, or
            does not fit the spec.
        ResourceError: when a package is missing.
    """
    dtype = dtype or fast_dtype()
    loaded = _load(spec, home, dtype, quantization)
    how = str(dtype) if quantization == "none" else quantization
    return _encoder(loaded, spec, adapter="", how=how)


def load_model(
    path: Path,
    home: Home,
    dtype: torch.dtype | None = None,
    *,
    merge: bool = True,
    spec: EncoderSpec | None = None,
) -> TransformerEncoder:
    """Return the encoder in a folder: a model of ours, an adapter of peft, or a whole model.

    Adapters are merged into the weights in float32, then rounded to ``dtype``; without ``merge``
    they stay beside the weights. A folder of others says little: how it makes vectors is looked
    up (`pipeline.encoder.known`), unless ``spec`` gives it.

    Raises:
        InputError: when ``path`` is none of these, nothing says how it makes vectors, or an
            adapter does not fit its backbone.
        ArtifactError: when it was written by a newer version.
    """
    from pipeline.encoder import adapters  # noqa: PLC0415 - imports peft

    spec, dtype = spec or spec_of(path), dtype or fast_dtype()
    if not (path / ADAPTER_FILE).is_file():
        return load_backbone(spec, home, dtype)
    weights = adapters.digest(path)
    loaded = _load(spec, home, torch.float32 if merge else dtype)
    if is_ours(path) and (trained := read_description(path).encoder.layers):
        keep_layers(loaded.model, trained)
    adapted = adapters.attach(loaded.model, path)
    model = adapters.merged(adapted, dtype) if merge else adapters.inner(adapted)
    adapter = stage_key("adapter", 1, weights=weights, merged=merge)
    return _encoder(loaded._replace(model=model), spec, adapter, str(dtype))


def _load(
    spec: EncoderSpec, home: Home, dtype: torch.dtype, quantization: str = "none"
) -> Pretrained:
    spec.check()
    request = Request(
        name=spec.backbone,
        revision=spec.revision,
        template=spec.template,
        max_length=spec.max_length,
        dtype=dtype,
        bidirectional=spec.attention == "bidirectional" and spec.bidirectional_from == 0,
        quantization=quantization,
    )
    return pretrained(AutoModel, request, home)


def _encoder(loaded: Pretrained, spec: EncoderSpec, adapter: str, how: str) -> TransformerEncoder:
    """Return the encoder of a loaded model, cut and opened as the spec says."""
    model, tokenizer = loaded
    if spec.layers:
        keep_layers(model, spec.layers)
    if spec.bidirectional_from:
        open_layers(model, spec.bidirectional_from)
    if spec.max_length == 0:
        room = room_for_text(loaded, spec.template, spec.backbone)
        spec = spec.model_copy(update={"max_length": room})
    name = stage_key(
        "encoder",
        VECTORS_VERSION,
        weights=backbone.identity(spec.backbone, spec.revision),
        how=spec.model_dump(exclude={"backbone", "revision"}),
        adapter=adapter,
        dtype=how,
    )
    return TransformerEncoder(model, tokenizer, spec, name)
