"""Published AnglE models: folders laid out and configured as theirs, with tiny random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
)

from pipeline.encoder import Vectors
from pipeline.encoder.known import KNOWN
from pipeline.encoder.spec import spec_of
from pipeline.encoder.transformer import load_model
from pipeline.errors import InputError
from pipeline.settings import Home

TEXTS = ["Sort the list of numbers.", "Open a socket and read bytes, then close it again.", "one"]
SENTENCE_TRANSFORMERS = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1, "name": "1", "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ],
    "1_Pooling/config.json": {
        "word_embedding_dimension": 32, "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False, "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": False, "include_prompt": True,
    },
    "sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False},
}  # fmt: skip


def by_hand(bert: Path, how: str) -> Vectors:
    """Vectors of TEXTS from the plain model, one text at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert)
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(dim=0)
        rows.append({"cls": states[0], "mean": mean, "cls_mean": (states[0] + mean) / 2}[how])
    vectors = torch.stack(rows)
    return (vectors / vectors.norm(dim=1, keepdim=True)).numpy()


@pytest.mark.parametrize(
    ("name", "files", "how"),
    [
        ("UAE-Large-V1", SENTENCE_TRANSFORMERS, "cls"),
        ("mxbai-embed-large-v1", {}, "cls"),
        ("angle-bert-base-uncased-nli-en-v1", {}, "cls_mean"),
        ("models--WhereIsAI--UAE-Large-V1", {}, "cls"),
    ],
)
def test_a_published_bert_loads_as_its_authors_use_it(
    publish: Callable[..., Path], tmp_path: Path, name: str, files: dict[str, Any], how: str
) -> None:
    folder = publish(name, files)
    encoder = load_model(folder, Home(tmp_path), torch.float32)
    assert (encoder.spec.template, encoder.spec.pooling) == ("{text}", how)
    assert encoder.spec.max_length == (38 if files else 62)
    found = encoder.encode(TEXTS)
    assert np.abs(found - by_hand(folder, how)).max() < 1e-5
    assert (load_model(folder, Home(tmp_path), torch.float32).encode(TEXTS) == found).all()


def test_an_unknown_model_is_used_as_its_sentence_transformers_files_say(
    publish: Callable[..., Path], tmp_path: Path
) -> None:
    """Both forms of the pooling's file, and a prompt that is put before every text."""
    old = SENTENCE_TRANSFORMERS["1_Pooling/config.json"] | {
        "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
    }  # fmt: skip
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}
    modules = SENTENCE_TRANSFORMERS["modules.json"]
    shown = {
        "old": {"modules.json": modules, "1_Pooling/config.json": old},
        "new": {"modules.json": modules, "1_Pooling/config.json": {"pooling_mode": "mean"}},
    }
    for name, files in shown.items():
        encoder = load_model(publish(name, files), Home(tmp_path), torch.float32)
        assert encoder.spec.pooling == "mean"
        assert np.abs(encoder.encode(TEXTS) - by_hand(tmp_path / name, "mean")).max() < 1e-5
    prompted = publish("prompted", shown["new"] | {"config_sentence_transformers.json": prompts})
    assert spec_of(prompted).template == "query: {text}"


def test_what_cannot_be_done_as_published_is_refused(publish: Callable[..., Path]) -> None:
    modules = SENTENCE_TRANSFORMERS["modules.json"]
    dense = [*modules, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    folder = publish("dense", SENTENCE_TRANSFORMERS | {"modules.json": dense})
    with pytest.raises(InputError, match="its module Dense is not applied here: give encoder"):
        spec_of(folder)
    maximum = {"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}
    folder = publish("maximum", SENTENCE_TRANSFORMERS | maximum)
    with pytest.raises(InputError, match=r"pools by \['max_tokens'\].*give encoder.pooling"):
        spec_of(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a model of ours"):
        load_model(tmp_path, Home(tmp_path))


def test_names_are_known_in_any_case_and_only_whole() -> None:
    from pipeline.encoder.known import by_name  # noqa: PLC0415

    assert by_name("whereisai/uae-large-v1") == KNOWN["uae-large-v1"]
    assert by_name("/models/UAE-Large-V1/") == KNOWN["uae-large-v1"]
    assert by_name("/models/UAE-Large-V1/mine") is None
    assert by_name("my-UAE-Large-V1") is None
    assert by_name("/c/models--mixedbread-ai--mxbai-embed-large-v1/snapshots/0a1b") is not None
