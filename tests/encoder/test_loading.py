"""Loading a backbone: what is refused, what is made good, and parts of a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.encoder import loading
from pipeline.encoder.known import ONE_WORD
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.errors import ConfigError, InputError, ResourceError
from pipeline.sections import EncoderSettings
from pipeline.settings import Home

TEXTS = ["Sort the list of numbers.", "Open a socket.", ""]


@pytest.fixture
def altered(tiny_backbone: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the tiny backbone with changes to a JSON file; None removes a key."""

    def make(file: str, **changes: Any) -> Path:
        folder = tmp_path / "altered"
        shutil.copytree(tiny_backbone, folder)
        saved = json.loads((folder / file).read_text()) | changes
        kept = {key: value for key, value in saved.items() if value is not None}
        (folder / file).write_text(json.dumps(kept))
        return folder

    return make


def spec(folder: Path, **fields: Any) -> EncoderSpec:
    given = {"backbone": str(folder), "template": ONE_WORD, "pooling": "last", "max_length": 48}
    return EncoderSpec.model_validate(given | fields)


def test_texts_longer_than_the_model_takes_are_refused_before_weights_are_read(
    altered: Callable[..., Path], tmp_path: Path
) -> None:
    folder = altered("config.json", max_position_embeddings=64)
    encoder = load_backbone(spec(folder, max_length=8), Home(tmp_path))
    overhead = len(encoder.token_ids([""])[0])
    assert overhead > 5
    fits = 64 - overhead
    encoder = load_backbone(spec(folder, max_length=fits), Home(tmp_path))
    assert len(encoder.token_ids(["word " * 99])[0]) == 64
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=f"takes 64: set encoder.max_length to {fits} or less"):
        load_backbone(spec(folder, max_length=fits + 1), Home(tmp_path))


def test_positions_that_start_after_the_padding_token_are_not_counted() -> None:
    from transformers import BertConfig, RobertaConfig  # noqa: PLC0415

    assert loading.longest(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512
    assert loading.longest(BertConfig(max_position_embeddings=512, pad_token_id=0)) == 512


def test_a_tokenizer_without_a_padding_token_gives_the_same_vectors(
    altered: Callable[..., Path], tiny_backbone: Path, tmp_path: Path
) -> None:
    folder = altered("tokenizer_config.json", pad_token=None)
    for pooling in ("last", "mean"):
        one, two = (
            load_backbone(spec(place, pooling=pooling), Home(tmp_path), torch.float32)
            for place in (folder, tiny_backbone)
        )
        assert np.abs(one.encode(TEXTS) - two.encode(TEXTS)).max() == 0


def test_a_checkpoint_that_lacks_weights_is_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tiny_backbone, folder)
    state = load_file(folder / "model.safetensors")
    del state["model.layers.2.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"1 tensors are missing.*layers\.2\.mlp\.up_proj"):
        load_backbone(spec(folder), Home(tmp_path))


def test_damaged_and_pickled_weights_are_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_backbone, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot load the backbone"):
        load_backbone(spec(folder), Home(tmp_path))
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot load the backbone"):
        load_backbone(spec(folder), Home(tmp_path))


def test_without_bitsandbytes_nf4_says_what_to_install(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match=r"pip install 'angle-adapt\[qlora\]'"):
        load_backbone(spec(tiny_backbone), Home(tmp_path), quantization="nf4")
    with pytest.raises(InputError, match="no quantization 'int8'; there are none, nf4"):
        load_backbone(spec(tiny_backbone), Home(tmp_path), quantization="int8")


def test_the_first_layers_and_dimensions_can_be_had_alone(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    whole = load_backbone(spec(tiny_backbone), Home(tmp_path), torch.float32)
    part = load_backbone(spec(tiny_backbone, layers=2, dimensions=8), Home(tmp_path), torch.float32)
    assert len(part.model.layers) == part.model.config.num_hidden_layers == 2
    ids = torch.tensor(whole.token_ids(TEXTS[:1]))
    with torch.no_grad():
        states = whole.model(input_ids=ids, output_hidden_states=True).hidden_states[2]
        wanted = whole.model.norm(states)[0, -1, :8]
    found = part.encode(TEXTS[:1])[0]
    assert np.abs(found - (wanted / wanted.norm()).numpy()).max() < 1e-6
    assert part.identity != whole.identity
    for fields, reason in (
        ({"layers": 5}, "encoder.layers is 5, but the model has 4 layers"),
        ({"dimensions": 33}, "encoder.dimensions is 33, but the model has 32"),
        ({"pooling": "max"}, "no pooling 'max'"),
    ):
        with pytest.raises(InputError, match=reason):
            load_backbone(spec(tiny_backbone, **fields), Home(tmp_path))


def test_bidirectional_attention_is_the_model_s_own_switch(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    """It is saved in config.json, where other programs look for it."""
    encoder = load_backbone(spec(tiny_backbone, attention="bidirectional"), Home(tmp_path))
    assert encoder.model.config.is_causal is False
    encoder.model.config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["is_causal"] is False


def test_empty_settings_are_filled_with_what_the_backbone_was_made_for(
    tiny_backbone: Path, altered: Callable[..., Path]
) -> None:
    found = EncoderSpec.of(EncoderSettings(backbone=str(tiny_backbone)))
    assert (found.template, found.pooling, found.attention) == (ONE_WORD, "last", "native")
    assert EncoderSpec.of(EncoderSettings()).template == ONE_WORD
    given = EncoderSettings(backbone=str(tiny_backbone), template="{text}", pooling="mean")
    assert (EncoderSpec.of(given).template, EncoderSpec.of(given).pooling) == ("{text}", "mean")
    bellm = EncoderSpec.of(EncoderSettings(backbone="SeanLee97/bellm-llama-7b-nli"))
    assert (bellm.attention, bellm.bidirectional_from) == ("bidirectional", 31)
    modern = altered("config.json", model_type="modernbert", architectures=["ModernBertModel"])
    assert EncoderSpec.of(EncoderSettings(backbone=str(modern))).pooling == "cls"


def test_settings_that_contradict_each_other_are_refused(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"must hold \{text\} once"):
        EncoderSpec.of(EncoderSettings(backbone=str(tiny_backbone), template="no place"))
    with pytest.raises(ConfigError, match=r"needs encoder\.attention: bidirectional"):
        EncoderSpec.of(EncoderSettings(backbone=str(tiny_backbone), bidirectional_from=2))
    with pytest.raises(InputError, match=r"give encoder\.template, encoder\.pooling"):
        EncoderSpec.of(EncoderSettings(backbone=str(tmp_path)))


def test_a_spec_is_resolved_without_torch(tiny_backbone: Path) -> None:
    code = f"""
import sys
from pipeline.encoder import cache, known, template
from pipeline.encoder.spec import EncoderSpec
from pipeline.sections import EncoderSettings
EncoderSpec.of(EncoderSettings(backbone={str(tiny_backbone)!r}))
print(sorted({{"torch", "transformers", "peft"}} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
