"""What every test shares: a data folder of its own, no network, and real stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Set before any library that reads them is imported.
os.environ.update(HF_HUB_OFFLINE="1", DO_NOT_TRACK="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")

from pipeline.artifacts import Store
from pipeline.records import Document, text_id
from pipeline.settings import HOME_VARIABLE, Home


@pytest.fixture(autouse=True)
def _data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One data folder for the session, so that the backbone is converted once."""
    folder = tmp_path_factory.getbasetemp() / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder))
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


@pytest.fixture
def document() -> Callable[..., Document]:
    def make(text: str, name: str = "", **fields: str) -> Document:
        identity = text_id(text)
        values = {"id": identity, "text": text, "name": name or identity, "source": "test"}
        return Document.model_validate(values | fields)

    return make


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA of four narrow layers with random weights and a byte-level tokenizer of its own."""
    import torch  # noqa: PLC0415 - most tests need no model
    from tokenizers import ByteLevelBPETokenizer  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("tiny-backbone")
    tokens = ByteLevelBPETokenizer()
    words = "Return the size of a file. Open a socket and read bytes. Sort the list of numbers."
    tokens.train_from_iterator([words] * 4, vocab_size=400, special_tokens=["<s>", "</s>"])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens._tokenizer, **names)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1,
        pad_token_id=1, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
