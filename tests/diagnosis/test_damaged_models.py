"""Every check finds the damage that it is there for, and no other check takes it for its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.diagnosis import examination
from pipeline.diagnosis.subject import Subject
from pipeline.diagnosis.texts import MANY, ODD
from pipeline.diagnosis.vectors import batches
from pipeline.encoder import probe
from pipeline.settings import Home
from tests.diagnosis.damage import WEIGHTS, Model, edit_json, weights_of


def test_a_sound_model_passes_every_check(model: Model) -> None:
    found = model.findings()
    assert {one.state for one in found.values()} == {"ok"}, found
    assert list(found) == list(examination.CHECKS)
    assert found["trainer"].figures["as_trained_cosine"] > 1 - 1e-6
    assert found["effect"].figures["mean_cosine"] < 0.99
    assert found["context"].figures["beyond"] == 0 < found["context"].figures["within"]


def test_a_model_of_before_there_were_probes_is_not_refused(model: Model) -> None:
    (model.folder / probe.PROBE_FILE).unlink()
    found = model.findings()
    assert {name for name, one in found.items() if one.state != "ok"} == {"trainer", "unchanged"}
    assert "not recorded" in found["unchanged"].detail
    assert found.problems == set()


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "adapter_config.json"])
def test_a_missing_file(model: Model, name: str) -> None:
    (model.folder / name).unlink()
    found = model.findings()
    assert found.problems == {"files"}
    assert f"{name} missing" in found["files"].detail
    assert {one.state for name, one in found.items() if name != "files"} == {"not checked"}


def test_a_file_cut_off(model: Model) -> None:
    weights = model.folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    found = model.findings()
    assert found.problems == {"files"}


def test_a_format_of_a_newer_version(model: Model) -> None:
    edit_json(model.folder / "angle_adapt.json", lambda saved: saved.update(format_version=99))
    found = model.findings()
    assert found.problems == {"files"}
    assert "this version reads 1" in found["files"].detail


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    found = Model(tmp_path, tmp_path)
    assert found.findings().problems == {"files"}


def test_flipped_bits_in_the_adapter(model: Model) -> None:
    weights = model.folder / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-400] ^= 0b1000
    weights.write_bytes(content)
    found = model.findings()
    assert found.problems == {"unchanged"}


def test_a_backbone_that_is_not_there(model: Model) -> None:
    model.describe(backbone=str(model.folder / "nowhere"))
    found = model.findings()
    assert found.problems == {"backbone"}


def test_other_weights_in_the_backbone(moved: Model) -> None:
    with weights_of(moved.backbone) as state:
        state["model.layers.1.mlp.up_proj.weight"] += 0.1
    found = moved.findings()
    assert found.problems == {"same backbone"}
    assert "model.safetensors differs" in found["same backbone"].detail


def pads_left(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", lambda saved: saved.update(padding_side="left"))


def pads_with_nothing(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", lambda saved: saved.update(pad_token=None))


def other_words(folder: Path) -> None:
    def change(saved: Any) -> None:
        vocabulary = saved["model"]["vocab"]
        vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]

    edit_json(folder / "tokenizer.json", change)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (pads_left, "pads on the left"), (pads_with_nothing, "no padding token"),
        (other_words, "have other tokens"),
    ],
)  # fmt: skip
def test_another_tokenizer_in_the_folder(
    model: Model, damage: Callable[[Path], None], said: str
) -> None:
    damage(model.folder)
    found = model.findings()
    assert found.problems == {"tokenizer"}
    assert said in found["tokenizer"].detail


def test_a_maximum_length_beyond_the_backbone(model: Model) -> None:
    model.describe(max_length=5_000)
    found = model.findings()
    assert found.problems == {"positions"}
    one = found["positions"]
    assert one.figures["positions"] == 2048
    assert f"{2048 - int(one.figures['overhead'])} at most" in one.remedy


def test_an_adapter_that_lacks_a_tensor(model: Model) -> None:
    with model.adapter() as state:
        del state[next(iter(state))]
    model.vouch()
    found = model.findings()
    assert found.problems == {"loading"}
    assert "1 of its places stay empty" in found["loading"].detail


@pytest.mark.parametrize("value", [0.0, float("inf")])
def test_weights_that_give_no_numbers(train: Callable[..., Model], value: float) -> None:
    made = train()
    with weights_of(made.backbone) as state:
        state["model.norm.weight"].fill_(value)
    found = made.findings()
    assert found.problems == {"same backbone", "finite"}


def test_an_adapter_at_zero(model: Model) -> None:
    with model.adapter() as state:
        for name, value in state.items():
            value.mul_(0.0 if "lora_B" in name else 1.0)
    model.record()
    found = model.findings()
    assert found.problems == {"effect"}
    assert "this is the backbone" in found["effect"].remedy


def test_an_adapter_of_which_a_part_is_zero(model: Model) -> None:
    with model.adapter() as state:
        name = next(name for name in state if "lora_B" in name)
        state[name].zero_()
    model.record()
    found = model.findings()
    assert found.problems == {"effect"}
    assert found["effect"].figures["idle"] == 1


def test_an_adapter_too_large_to_be_merged(model: Model) -> None:
    """Numbers that cancel each other are added up with other rounding in the merged weights."""
    with model.adapter() as state:
        name = next(name for name in state if "v_proj.lora_A" in name)
        other = name.replace("lora_A", "lora_B")
        state[name][1] = state[name][0]
        state[other][:, 0] += 3e7
        state[other][:, 1] -= 3e7
    model.record()
    found = model.findings()
    assert found.problems == {"merged"}


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        ({"pooling": "mean"}, {"trainer"}), ({"template": 'Say "{text}'}, {"trainer"}),
        ({"max_length": 40}, {"trainer"}), ({"attention": "bidirectional"}, {"trainer"}),
        ({"dimensions": 16}, {"trainer"}), ({"layers": 3}, {"loading"}),
    ],
)  # fmt: skip
def test_a_description_that_is_not_the_training_s(
    model: Model, wrong: dict[str, object], seen: set[str]
) -> None:
    model.describe(**wrong)
    assert model.findings().problems == seen


def test_padding_that_is_seen(train: Callable[..., Model]) -> None:
    """A model that sees both ways, run as if it did not."""
    made = train(attention="bidirectional")
    subject = Subject(made.folder, Home(made.folder.parent))
    assert batches(subject).state == "ok"
    subject.encoder._causal = True
    found = batches(subject)
    assert found.state == "problem"
    assert found.figures["padded_cosine"] < 0.99


def drops_what_follows_a_null(folder: Path) -> None:
    def change(saved: Any) -> None:
        pattern = {"Regex": "\0[\\s\\S]*"}
        saved["normalizer"] = {"type": "Replace", "pattern": pattern, "content": ""}

    edit_json(folder / "tokenizer.json", change)


def test_a_tokenizer_that_loses_the_template(train: Callable[..., Model]) -> None:
    made = train(drops_what_follows_a_null)
    found = made.findings()
    assert found.problems == {"template"}
    assert "null" in found["template"].detail


def test_a_text_that_has_no_vector(train: Callable[..., Model], tiny_backbone: Path) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    others = [text for name, text in ODD.items() if name not in ("private use", "a lone surrogate")]
    common = {token for text in (*MANY, *others) for token in tokenizer(text)["input_ids"]}
    broken = min(set(tokenizer(ODD["private use"])["input_ids"]) - common)

    def damage(folder: Path) -> None:
        with weights_of(folder) as state:
            state["model.embed_tokens.weight"][broken] = float("nan")

    made = train(damage)
    found = made.findings()
    assert found.problems == {"odd texts"}
    assert "private use" in found["odd texts"].detail


def test_a_pooling_that_sees_no_text(model: Model) -> None:
    model.describe(pooling="cls")
    model.record()
    found = model.findings()
    assert found.problems == {"context"}
    assert found["context"].figures["within"] == 0


def test_exports_are_held_against_the_original() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(5, 8))), dim=-1)
    original = vectors.float().numpy()
    near = original + np.float32(1e-4)
    assert examination.export(original, near, "x").state == "ok"
    wrong = original.copy()
    wrong[3] = original[2]
    for exported in (wrong, original[:, :4], np.full_like(original, np.nan)):
        found = examination.export(original, exported, "x")
        assert found.state == "problem"
        assert found.remedy.startswith("export the model again")
