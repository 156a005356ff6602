"""An export appears whole or not at all, and errors say what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.encoder import Vectors
from pipeline.errors import ArtifactError, ConfigError, InputError
from pipeline.export.formats import sentence, table, writing
from pipeline.export.formats.card import card
from pipeline.export.formats.source import open_source
from pipeline.settings import Home, home
from tests.export import small_models

ROOT = Path(__file__).resolve().parents[2]
ASKED = writing.Request(format="peft")


@pytest.fixture
def model(tiny_backbone: Path, tmp_path: Path) -> Path:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    return small_models.model(tmp_path / "m", backbone)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"format": "gguff"}, "sentence-transformers, peft, onnx, gguf"),
        ({"format": "onnx", "form": "adapter"}, "merged, not adapter"),
        ({"format": "onnx", "precision": "q8_0"}, "f32, int8, not q8_0"),
        (
            {"format": "sentence-transformers", "form": "adapter", "precision": "f16"},
            "leave --precision out",
        ),
    ],
)
def test_what_a_format_has_not_is_said_before_anything_is_read(
    asked: dict[str, str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        writing.export(tmp_path / "none", writing.Request(**asked), tmp_path / "out", home())


def test_an_empty_folder_may_be_given_and_others_stay_as_they_are(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert writing.export(model, ASKED, tmp_path / "empty", home())["form"] == "adapter"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("kept")
    with pytest.raises(InputError, match="not an empty folder"):
        writing.export(model, ASKED, tmp_path / "full", home())
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_file_is_named(file: str, model: Path, tmp_path: Path) -> None:
    (model / file).unlink()
    with pytest.raises(InputError, match=file.replace(".", r"\.")):
        writing.export(model, ASKED, tmp_path / "out", home())
    assert not (tmp_path / "out").exists()


def test_a_model_of_a_newer_version_is_refused(model: Path, tmp_path: Path) -> None:
    small_models.changed(model / "angle_adapt.json", format_version=99)
    with pytest.raises(ArtifactError, match="format 99"):
        writing.export(model, ASKED, tmp_path / "out", home())


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        writing.export(tmp_path / "none", ASKED, tmp_path / "out", home())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"angle_adapt\.json"):
        writing.export(tmp_path / "empty", ASKED, tmp_path / "out", home())


def test_an_export_that_is_not_the_model_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = table.FORMATS["peft"]

    def turned(folder: Path, texts: Sequence[str], place: Home) -> Vectors:
        vectors = own.vectors(folder, texts, place)
        vectors[3, :32] *= -1
        return vectors

    monkeypatch.setitem(table.FORMATS, "peft", own._replace(vectors=turned))
    with pytest.raises(InputError, match=r"lowest cosine of .*Return the size of a file"):
        writing.export(model, ASKED, tmp_path / "out", home())
    assert {path.name for path in tmp_path.iterdir()} == {"b", "m"}


def test_numbers_that_are_none_and_other_shapes_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = table.FORMATS["peft"]
    for spoil, says in (
        (lambda v: np.where(np.arange(v.shape[1]) == 2, np.float32(np.nan), v), "no numbers"),
        (lambda v: v[:, :-1], "of shape"),
    ):

        def spoilt(folder: Path, texts: Sequence[str], place: Home, how: Any = spoil) -> Vectors:
            found: Vectors = how(own.vectors(folder, texts, place))
            return found

        monkeypatch.setitem(table.FORMATS, "peft", own._replace(vectors=spoilt))
        with pytest.raises(InputError, match=says):
            writing.export(model, ASKED, tmp_path / "out", home())


def test_an_interrupted_export_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, seen = table.FORMATS["peft"], []

    def interrupted(folder: Path, *_: object) -> Vectors:
        seen.append(folder)
        assert not (tmp_path / "out").exists()
        raise KeyboardInterrupt

    monkeypatch.setitem(table.FORMATS, "peft", own._replace(vectors=interrupted))
    with pytest.raises(KeyboardInterrupt):
        writing.export(model, ASKED, tmp_path / "out", home())
    assert seen[0].parent == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"b", "m"}
    monkeypatch.setitem(table.FORMATS, "peft", own)
    assert writing.export(model, ASKED, tmp_path / "out", home())["parity"]["lowest"] > 0.9999


def test_the_models_own_card_is_kept_below(model: Path, tmp_path: Path) -> None:
    front = "---\nlicense: apache-2.0\ntags:\n- lora\nbase_model: a/b\n---\n"
    (model / "README.md").write_text(f"{front}\n# My model\n\nVerdict: ship.\n", encoding="utf-8")
    writing.export(model, ASKED, tmp_path / "out", home())
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in text
    assert "- lora" in text
    assert text.rstrip().endswith("Verdict: ship.")
    assert "base_model: a/b" not in text


def test_a_built_in_backbone_is_named_as_on_the_hub(model: Path, tmp_path: Path) -> None:
    source = open_source(model, home())
    spec = source.spec.model_copy(update={"backbone": "smollm2-135m-instruct"})
    source.encoder.spec = spec
    assert source.public_backbone == "HuggingFaceTB/SmolLM2-135M-Instruct"
    (tmp_path / "out").mkdir()
    facts = table.FORMATS["peft"].write(source, tmp_path / "out", "f32", "adapter")
    named = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == source.public_backbone
    assert "quantised" in facts["backbone_weights"]
    assert sentence.built_in(source.public_backbone) == "smollm2-135m-instruct"


def test_a_card_that_cannot_be_read_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("---\n: [\n---\nMine.\n", encoding="utf-8")
    found = writing.export(model, ASKED, tmp_path / "out", home())
    assert card(open_source(model, home()), found).rstrip().endswith("Mine.")
