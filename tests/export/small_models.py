"""Small models with random adapters, as training would leave them, one for each way to embed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
)

from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, ModelDescription
from pipeline.encoder.stack import keep_layers, linear_names

SIZE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 128, "pad_token_id": 1,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
KINDS: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "mistral": GROUPED | {"sliding_window": None},
    "qwen2": GROUPED,
    "bert": {},
}
ONE_WORD = 'Summarize sentence "{text}" in one word:"'
WORDS = "Return the size of a file. Open a socket and read bytes. Sort the list of numbers."


def backbone(folder: Path, kind: str, byte_level: Path) -> Path:
    """Write a model of a kind whose weights are far from symmetric, with a tokenizer for it."""
    folder.mkdir(parents=True)
    if kind == "bert":
        words = BertWordPieceTokenizer()
        words.train_from_iterator([WORDS + " 0 1 2 3 4"] * 3)
        words.save_model(str(folder))
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    else:
        tokenizer = AutoTokenizer.from_pretrained(byte_level)
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SIZE | KINDS[kind] | {"vocab_size": len(tokenizer) + 3}))
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def share_a_token(folder: Path) -> None:
    """Give a model a tokenizer for which the end of a text and a quote after it are one token."""
    tokens = ByteLevelBPETokenizer()
    quoted = WORDS.replace(".", '."') + 'a," in one word:"'
    tokens.train_from_iterator([quoted] * 4, vocab_size=290, special_tokens=["<s>", "</s>"])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokens._tokenizer, **names).save_pretrained(folder)


def model(folder: Path, place: Path, **fields: Any) -> Path:
    """Write adapters with random weights on the backbone in ``place``, and the model's own file."""
    given = {"template": ONE_WORD, "pooling": "last", "max_length": 24} | fields
    spec = EncoderSpec.model_validate({"backbone": str(place)} | given)
    torch.manual_seed(1)
    whole = AutoModel.from_pretrained(place)
    if spec.layers:
        keep_layers(whole, spec.layers)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=list(linear_names(whole)))
    adapted = get_peft_model(whole, lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    adapted.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    AutoTokenizer.from_pretrained(place).save_pretrained(folder)
    description = ModelDescription(
        format_version=FORMAT_VERSION, encoder=spec, backbone_identity="", first_layer=0, train={}
    )
    (folder / MODEL_FILE).write_text(description.model_dump_json(), encoding="utf-8")
    return folder


def changed(path: Path, **values: Any) -> None:
    """Change values of a JSON file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found | values), encoding="utf-8")
