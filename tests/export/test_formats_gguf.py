"""GGUF: llama.cpp's own server gives the model's vectors, for every kind of model written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from pipeline.errors import InputError, ResourceError
from pipeline.export.formats import llama, writing
from pipeline.export.formats.gguf_tokens import _SPLITS
from pipeline.export.formats.source import open_source
from pipeline.settings import home
from tests.export import small_models

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("mistral", {"pooling": "mean", "dimensions": 16}),
    "qwen2": ("qwen2", {"template": "{text}"}),
    "bert": ("bert", {"pooling": "cls", "template": "{text}"}),
    "a decoder that sees later tokens": (
        "llama",
        {"attention": "bidirectional", "pooling": "mean"},
    ),
}


SPLITS = dict(zip(("mistral", "qwen2"), _SPLITS, strict=True))


def split_by(folder: Path, regex: str) -> None:
    """Make the byte-level tokenizer in a folder split text by a regular expression."""
    whole = Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=whole, **names).save_pretrained(folder)


def exported(model: Path, out: Path, precision: str = "f32") -> dict[str, Any]:
    return writing.export(model, writing.Request(format="gguf", precision=precision), out, home())


@pytest.mark.parametrize("way", WAYS)
def test_the_server_gives_the_models_vectors(way: str, tiny_backbone: Path, tmp_path: Path) -> None:
    kind, fields = WAYS[way]
    backbone = small_models.backbone(tmp_path / "b", kind, tiny_backbone)
    if kind in SPLITS:
        split_by(backbone, SPLITS[kind])
    model = small_models.model(tmp_path / "m", backbone, **fields)
    assert exported(model, tmp_path / "out")["parity"]["lowest"] >= 0.999


def test_eight_bits_are_smaller_and_close(tiny_backbone: Path, tmp_path: Path) -> None:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    model = small_models.model(tmp_path / "m", backbone)
    found = exported(model, tmp_path / "out", "q8_0")
    assert 0.98 <= found["parity"]["lowest"] < 0.99999
    kinds = {tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "out/model.gguf").tensors}
    assert kinds == {"F32", "Q8_0"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pooling": "weighted_mean"}, "weighted_mean"),
        ({"attention": "bidirectional", "bidirectional_from": 1}, "onnx"),
    ],
)
def test_what_llama_cpp_cannot_do_is_refused(
    change: dict[str, Any], says: str, tiny_backbone: Path, tmp_path: Path
) -> None:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    with pytest.raises(InputError, match=says):
        exported(small_models.model(tmp_path / "m", backbone, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_window_shorter_than_the_texts_and_other_positions_are_refused(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    backbone = small_models.backbone(tmp_path / "b", "mistral", tiny_backbone)
    small_models.changed(backbone / "config.json", sliding_window=8)
    model = small_models.model(tmp_path / "m", backbone)
    with pytest.raises(InputError, match="window of 8 tokens"):
        exported(model, tmp_path / "out")
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    small_models.changed(backbone / "config.json", sliding_window=None, rope_parameters=rope)
    with pytest.raises(InputError, match="positions of the kind linear"):
        exported(model, tmp_path / "out")


def test_a_tokenizer_that_llama_cpp_has_not_is_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    whole["pre_tokenizer"]["add_prefix_space"] = True
    (backbone / "tokenizer.json").write_text(json.dumps(whole))
    model = small_models.model(tmp_path / "m", backbone)
    assert open_source(model, home()).encoder.model.config.model_type == "llama"
    with pytest.raises(InputError, match="cannot split text"):
        exported(model, tmp_path / "out")
    assert AutoConfig.from_pretrained(backbone).hidden_size == 64


def test_without_the_server_nothing_is_written(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    model = small_models.model(tmp_path / "m", backbone)
    monkeypatch.setattr(llama, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match=r"pip install 'angle-adapt\[llama-cpp\]'"):
        exported(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_model_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(InputError, match="does not load"):
        llama.embed(tmp_path / "model.gguf", 16, ["a"])
