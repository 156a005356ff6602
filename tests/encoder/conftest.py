"""Tiny models with random weights, one for each kind of architecture that people embed with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PreTrainedModel,
)

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import TransformerEncoder

SIZE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "max_position_embeddings": 256, "pad_token_id": 1, "vocab_size": 400,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
WINDOW = {"sliding_window": 8}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "mistral": GROUPED | WINDOW,
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "gemma": GROUPED,
    "gemma2": GROUPED | WINDOW,
    "gemma3_text": GROUPED | WINDOW | {"query_pre_attn_scalar": 8},
    "bert": {},
    "roberta": {"max_position_embeddings": 258},
    "mpnet": {"max_position_embeddings": 258},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 3},
}
WORDS = ["Sort the list of numbers.", "Open a socket and read bytes, then close it again.", "one"]
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")


def tiny_model(kind: str, implementation: str = "eager", **changes: object) -> PreTrainedModel:
    """Return a model of four layers whose weights are far from symmetric."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SIZE | ARCHITECTURES[kind] | changes))
    model = AutoModel.from_config(config, attn_implementation=implementation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., PreTrainedModel]:
    return tiny_model


@pytest.fixture
def make_encoder(tiny_backbone: Path) -> Callable[..., TransformerEncoder]:
    """Wraps a model in an encoder with the tokenizer of the tiny backbone."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)

    def make(model: PreTrainedModel, **fields: object) -> TransformerEncoder:
        given = {"backbone": "tiny", "template": "{text}", "pooling": "mean", "max_length": 64}
        spec = EncoderSpec.model_validate(given | fields)
        return TransformerEncoder(model, tokenizer, spec, "tiny")

    return make


def write(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    words = BertWordPieceTokenizer()
    words.train_from_iterator(WORDS * 3)
    words.save_model(str(folder))
    tokenizer = BertTokenizerFast.from_pretrained(folder, model_max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def publish(bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a BERT under a name, with files beside it."""

    def make(name: str, files: dict[str, Any] | None = None) -> Path:
        folder = tmp_path / name
        shutil.copytree(bert, folder)
        write(folder, files or {})
        return folder

    return make
