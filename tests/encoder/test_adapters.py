"""Adapters that others or we have trained: loaded as they were meant, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.encoder import Vectors
from pipeline.encoder.known import ONE_WORD
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, spec_of
from pipeline.encoder.transformer import load_backbone, load_model
from pipeline.errors import ArtifactError, InputError
from pipeline.settings import Home

TEXTS = ["Sort the list of numbers.", "Open a socket and read bytes, then close it again.", "one"]
# Of SeanLee97/angle-llama-7b-nli-v2, but for the base, r and the name of the weights' file.
ADAPTER = {
    "auto_mapping": None, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
    "init_lora_weights": True, "layers_pattern": None, "layers_to_transform": None,
    "lora_alpha": 32, "lora_dropout": 0.1, "peft_type": "LORA", "r": 4, "revision": None,
    "modules_to_save": ["model.leaky_norm.weight", "model.leaky_norm.bias"],
    "target_modules": [
        "v_proj", "up_proj", "down_proj", "o_proj", "q_proj", "gate_proj", "k_proj",
    ],
    "task_type": "CAUSAL_LM",
}  # fmt: skip


@pytest.fixture
def adapter(tiny_backbone: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes an adapter of a causal language model, as the authors of AnglE trained theirs."""

    def make(name: str, **changes: Any) -> Path:
        folder = tmp_path / name
        model = AutoModelForCausalLM.from_pretrained(tiny_backbone)
        torch.manual_seed(1)
        lora = LoraConfig(
            r=4, lora_alpha=32, task_type="CAUSAL_LM", target_modules=ADAPTER["target_modules"]
        )
        adapted = get_peft_model(model, lora)
        with torch.no_grad():
            for key, parameter in adapted.named_parameters():
                if "lora_" in key:
                    parameter.copy_(0.1 * torch.randn_like(parameter))
        adapted.save_pretrained(folder)
        settings = ADAPTER | {"base_model_name_or_path": str(tiny_backbone)} | changes
        (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return folder

    return make


def adapted_by_hand(folder: Path, base: Path, template: str) -> Vectors:
    """Vectors of TEXTS from the base's weights with the adapter's product added, and no peft."""
    model, state = (
        AutoModelForCausalLM.from_pretrained(base),
        load_file(folder / "adapter_model.safetensors"),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            key = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{key}.lora_A.weight" in state:
                product = state[f"{key}.lora_B.weight"] @ state[f"{key}.lora_A.weight"]
                parameter.add_(32 / 4 * product)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = []
    for text in TEXTS:
        ids = tokenizer(template.replace("{text}", text), return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**ids, output_hidden_states=True).hidden_states[-1][0, -1])
    vectors = torch.stack(rows)
    return (vectors / vectors.norm(dim=1, keepdim=True)).numpy()


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize(
    "name", ["angle-llama-7b-nli-v2", "angle-llama-13b-nli", "angle-llama-7b-nli-20231027"]
)
def test_a_published_adapter_loads_as_its_authors_use_it(
    adapter: Callable[..., Path], tiny_backbone: Path, tmp_path: Path, name: str, *, merge: bool
) -> None:
    folder = adapter(name)
    encoder = load_model(folder, Home(tmp_path), torch.float32, merge=merge)
    assert (encoder.spec.template, encoder.spec.pooling) == (ONE_WORD, "last")
    found = encoder.encode(TEXTS)
    assert np.abs(found - adapted_by_hand(folder, tiny_backbone, ONE_WORD)).max() < 1e-5
    again = load_model(folder, Home(tmp_path), torch.float32, merge=merge)
    assert (again.encode(TEXTS) == found).all()
    assert again.identity == encoder.identity


def test_bellm_sees_later_tokens_in_its_last_layer(
    adapter: Callable[..., Path], tiny_backbone: Path, tmp_path: Path
) -> None:
    folder = adapter("bellm-llama-7b-nli")
    made = spec_of(folder)
    assert (made.attention, made.bidirectional_from) == ("bidirectional", 31)
    assert made.template == 'The representative word for sentence {text} is:"'
    # The tiny backbone has four layers, not 32.
    opened = made.model_copy(update={"bidirectional_from": 3})
    encoder = load_model(folder, Home(tmp_path), torch.float32, spec=opened)
    # The last token sees every other one either way.
    wanted = adapted_by_hand(folder, tiny_backbone, made.template)
    assert np.abs(encoder.encode(TEXTS) - wanted).max() < 1e-5
    with pytest.raises(InputError, match="bidirectional_from is 31"):
        load_model(folder, Home(tmp_path))


def test_merged_and_unmerged_vectors_agree(adapter: Callable[..., Path], tmp_path: Path) -> None:
    """In float32 to rounding; in bfloat16 as closely as either agrees with float32."""
    folder = adapter("angle-llama-7b-nli-v2")
    found = {
        (dtype, merge): load_model(folder, Home(tmp_path), dtype, merge=merge)
        for dtype in (torch.float32, torch.bfloat16)
        for merge in (True, False)
    }
    vectors = {how: encoder.encode(TEXTS) for how, encoder in found.items()}
    exact = vectors[torch.float32, True]
    for (dtype, _), other in vectors.items():
        least = 1 - 1e-6 if dtype is torch.float32 else 0.999
        assert (exact * other).sum(axis=1).min() >= least
    assert len({encoder.identity for encoder in found.values()}) == 4
    assert found[torch.bfloat16, True].model.rotary_emb.inv_freq.dtype is torch.float32


def test_an_adapter_of_nobody_knows_how_is_refused_unless_it_is_told(
    adapter: Callable[..., Path], tiny_backbone: Path, tmp_path: Path
) -> None:
    folder = adapter("my-adapter")
    with pytest.raises(InputError, match=r"my-adapter on .* give encoder.template and encoder.poo"):
        load_model(folder, Home(tmp_path))
    spec = EncoderSpec(backbone=str(tiny_backbone), template="{text}", pooling="mean", max_length=9)
    assert load_model(folder, Home(tmp_path), spec=spec).encode(TEXTS).shape == (3, 32)


def test_an_adapter_that_does_not_fit_is_refused_and_both_are_named(
    adapter: Callable[..., Path], publish: Callable[..., Path], tiny_backbone: Path, tmp_path: Path
) -> None:
    folder = adapter("angle-llama-7b-nli-v2")
    weights = folder / "adapter_model.safetensors"
    state = load_file(weights)
    first = next(iter(state))
    for wrong, reason in (
        (state | {first: state[first][:, :-1].clone()}, "size mismatch"),
        (
            {key: value for key, value in state.items() if key != first},
            "1 of its places stay empty",
        ),
        (state | {f"{first}.more": state[first].clone()}, "1 of its tensors have none"),
    ):
        save_file(wrong, weights)
        with pytest.raises(
            InputError, match=rf"the adapter .*nli-v2 does not fit .*{tiny_backbone.name}.*{reason}"
        ):
            load_model(folder, Home(tmp_path))
    save_file(state, weights)
    bert = publish("UAE-Large-V1")
    settings = ADAPTER | {"base_model_name_or_path": str(bert)}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError, match=r"does not fit the backbone .*UAE-Large-V1"):
        load_model(folder, Home(tmp_path))


def test_a_pickled_adapter_is_not_read(adapter: Callable[..., Path], tmp_path: Path) -> None:
    folder = adapter("angle-llama-7b-nli-v2")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match="holds its adapter as a pickle"):
        load_model(folder, Home(tmp_path))


def test_a_model_of_ours_says_all_and_reloads_to_the_same_vectors(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    """Trained on the first three layers; its description has none of the fields added since."""
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template=ONE_WORD, pooling="mean", max_length=20, layers=3
    )
    encoder = load_backbone(spec, Home(tmp_path), torch.float32)
    lora = LoraConfig(r=2, target_modules=r"layers\.2\..*\.(q_proj|up_proj)")
    adapted = get_peft_model(encoder.model, lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3)
    folder = tmp_path / "ours"
    adapted.save_pretrained(folder)
    saved = spec.model_dump(exclude={"attention", "bidirectional_from", "dimensions"})
    described = {
        "format_version": FORMAT_VERSION, "encoder": saved, "backbone_identity": "x",
        "first_layer": 2, "train": {},
    }  # fmt: skip
    (folder / MODEL_FILE).write_text(json.dumps(described), encoding="utf-8")
    trained = encoder.encode(TEXTS)
    one, two = (load_model(folder, Home(tmp_path), torch.float32).encode(TEXTS) for _ in "12")
    assert np.abs(one - two).max() == 0
    assert np.abs(one - trained).max() < 1e-5
    early = load_model(
        folder, Home(tmp_path), torch.float32, spec=spec.model_copy(update={"layers": 2})
    )
    base = load_backbone(spec.model_copy(update={"layers": 2}), Home(tmp_path), torch.float32)
    assert np.abs(early.encode(TEXTS) - base.encode(TEXTS)).max() < 1e-6
    assert np.abs(one - load_backbone(spec, Home(tmp_path)).encode(TEXTS)).max() > 1e-2
    (folder / MODEL_FILE).write_text(json.dumps(described | {"surprise": 1}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged or of a newer version: surprise"):
        load_model(folder, Home(tmp_path))
