"""An adapter of any strength against weights added up by hand, with neither peft nor our loader."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from pipeline.encoder import Vectors, probe
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, read_description
from pipeline.encoder.strength import at_strengths, leave_probe, scaled_copy
from pipeline.encoder.transformer import load_backbone, load_model
from pipeline.errors import InputError
from pipeline.settings import Home

TEXTS = ["Sort the list of numbers.", "Open a socket and read bytes, then close it again.", "one"]
TEMPLATE = 'Say "{text}":'
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
}
RANK, ALPHA = 4, 12
SCALE = {"lora": ALPHA / RANK, "rslora": ALPHA / RANK**0.5, "dora": ALPHA / RANK}
Make = Callable[..., Path]


@pytest.fixture
def model(tiny_backbone: Path, tmp_path: Path) -> Make:
    """Writes a model directory of ours with adapters far from zero in the upper two layers."""

    def make(kind: str, name: str = "model") -> Path:
        torch.manual_seed(1)
        targets = r"layers\.[23]\..*\.(q_proj|down_proj)"
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, **KINDS[kind])
        adapted = get_peft_model(AutoModel.from_pretrained(tiny_backbone), config)
        with torch.no_grad():
            for key, parameter in adapted.named_parameters():
                if "lora_B" in key:
                    parameter.copy_(0.1 * torch.randn_like(parameter))
                if "magnitude" in key:
                    parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
        folder = tmp_path / name
        adapted.save_pretrained(str(folder))
        AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(folder)
        spec = EncoderSpec(
            backbone=str(tiny_backbone), template=TEMPLATE, pooling="mean", max_length=60
        )
        described = {
            "format_version": FORMAT_VERSION, "encoder": spec.model_dump(),
            "backbone_identity": "x", "first_layer": 2, "train": {},
        }  # fmt: skip
        (folder / MODEL_FILE).write_text(json.dumps(described), encoding="utf-8")
        return folder

    return make


def by_hand(folder: Path, base: Path, kind: str, strength: float) -> Vectors:
    """Vectors of TEXTS, one text at a time, from the sum that the docstring states."""
    model, state = AutoModel.from_pretrained(base), load_file(folder / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            key = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{key}.lora_A.weight" not in state:
                continue
            product = state[f"{key}.lora_B.weight"] @ state[f"{key}.lora_A.weight"]
            frozen = parameter.norm(dim=1)
            parameter.add_(strength * SCALE[kind] * product)
            if kind == "dora":
                length = frozen + strength * (state[f"{key}.lora_magnitude_vector"] - frozen)
                parameter.mul_((length / parameter.norm(dim=1))[:, None])
    return means(model, base)


def means(model: Any, base: Path) -> Vectors:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows: list[Tensor] = []
    for text in TEXTS:
        ids = tokenizer(TEMPLATE.replace("{text}", text), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            rows.append(model(input_ids=ids).last_hidden_state[0].mean(dim=0))
    vectors = torch.stack(rows)
    unit: Vectors = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()
    return unit


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_at_each_strength_are_those_of_weights_added_by_hand(
    model: Make, tiny_backbone: Path, tmp_path: Path, kind: str
) -> None:
    folder, home = model(kind), Home(tmp_path)
    strengths = (1.25, 0.0, 0.4, 1.0)
    found = dict(at_strengths(folder, home, TEXTS, strengths, torch.float32))

    assert tuple(found) == strengths
    for strength, vectors in found.items():
        assert np.abs(vectors - by_hand(folder, tiny_backbone, kind, strength)).max() < 1e-5
    base = load_backbone(read_description(folder).encoder, home, torch.float32)
    assert np.abs(found[0.0] - base.encode(TEXTS)).max() < 1e-6
    whole = load_model(folder, home, torch.float32)
    assert np.abs(found[1.0] - whole.encode(TEXTS)).max() < 1e-6
    assert np.abs(found[1.0] - found[0.0]).max() > 0.01
    assert np.abs(found[1.0] - found[0.4]).max() > 0.005


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.25])
def test_a_scaled_copy_has_the_strength_inside_for_whoever_reads_it(
    model: Make, tiny_backbone: Path, tmp_path: Path, kind: str, strength: float
) -> None:
    folder, home, out = model(kind), Home(tmp_path), tmp_path / "copy"
    scaled_copy(folder, strength, out, home)

    wanted = by_hand(folder, tiny_backbone, kind, strength)
    for merge in (True, False):
        found = load_model(out, home, torch.float32, merge=merge).encode(TEXTS)
        assert np.abs(found - wanted).max() < 1e-5
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_backbone), str(out))
    assert np.abs(means(plain.eval(), tiny_backbone) - wanted).max() < 1e-5
    ((_, swept),) = at_strengths(folder, home, TEXTS, [strength], torch.float32)
    assert np.abs(swept - wanted).max() < 1e-5
    assert read_description(out).strength == strength


def test_a_copy_of_strength_one_is_the_model_bit_for_bit(model: Make, tmp_path: Path) -> None:
    folder, out = model("lora"), tmp_path / "copy"
    for name in ("README.md", "MANIFEST.json", "measured.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    scaled_copy(folder, 1.0, out)

    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.keys() == before.keys() - {"MANIFEST.json", "measured.json"}
    assert {name for name in after if after[name] != before[name]} == {MODEL_FILE}
    assert read_description(out) == read_description(folder)


def test_a_copy_can_be_checked_by_vectors_of_its_own(model: Make, tmp_path: Path) -> None:
    home, out = Home(tmp_path), tmp_path / "copy"
    scaled_copy(model("lora"), 0.5, out, home)
    assert probe.read(out) is None
    leave_probe(out, home)

    found = probe.read(out)
    assert found is not None
    assert np.array_equal(found[1], load_model(out, home).encode(probe.TEXTS))


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_the_strengths_of_copies_multiply(model: Make, tmp_path: Path, kind: str) -> None:
    folder, home = model(kind), Home(tmp_path)
    scaled_copy(folder, 0.5, tmp_path / "half", home)
    scaled_copy(tmp_path / "half", 1.5, tmp_path / "more", home)
    scaled_copy(folder, 0.75, tmp_path / "once", home)

    twice, once = (
        load_model(tmp_path / name, home, torch.float32).encode(TEXTS) for name in ("more", "once")
    )
    assert np.abs(twice - once).max() < 1e-6
    assert read_description(tmp_path / "more").strength == 0.75


def test_frozen_layers_run_once_for_all_strengths(model: Make, tmp_path: Path) -> None:
    calls: Counter[int] = Counter()

    def count(module: torch.nn.Module, *_: object) -> None:
        if type(module).__name__ == "LlamaDecoderLayer":
            calls[int(module.self_attn.layer_idx)] += 1  # type: ignore[union-attr, arg-type]

    run = at_strengths(model("lora"), Home(tmp_path), TEXTS, [0.0, 0.5, 1.0])
    first, _ = next(run)
    hook = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        rest = [strength for strength, _ in run]
    finally:
        hook.remove()

    assert [first, *rest] == [0.0, 0.5, 1.0]
    assert not set(calls) & {0, 1}
    assert calls[2] == calls[3] > 0


def test_what_has_no_strength_is_refused(model: Make, tiny_backbone: Path, tmp_path: Path) -> None:
    home, folder = Home(tmp_path), model("lora")
    with pytest.raises(InputError, match=r"is 2\.5: give a number from 0 to 2"):
        scaled_copy(folder, 2.5, tmp_path / "copy")
    with pytest.raises(InputError, match="is nan"):
        next(at_strengths(folder, home, TEXTS, [float("nan")]))
    with pytest.raises(InputError, match="has no adapter as safetensors"):
        next(at_strengths(tiny_backbone, home, TEXTS, [1.0]))
    with pytest.raises(InputError, match="not empty"):
        scaled_copy(folder, 0.5, folder)
    with pytest.raises(InputError, match="give a home"):
        scaled_copy(model("dora", "dora"), 0.5, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()

    weights = folder / "adapter_model.safetensors"
    save_file(load_file(weights) | {"base_model.model.norm.weight": torch.ones(32)}, weights)
    with pytest.raises(InputError, match=r"norm\.weight is not of LoRA"):
        scaled_copy(folder, 0.5, tmp_path / "copy")
    other = get_peft_model(
        AutoModel.from_pretrained(tiny_backbone),
        IA3Config(target_modules=["k_proj"], feedforward_modules=[]),
    )
    other.save_pretrained(str(folder))
    with pytest.raises(InputError, match="no strength is defined"):
        next(at_strengths(folder, home, TEXTS, [1.0]))
