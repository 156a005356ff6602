"""The commands that docs/export.md shows: each is run, and what it wrote is the model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer
from typer.testing import CliRunner

from flows.cli import app
from pipeline.encoder import cosine
from pipeline.encoder.transformer import load_model
from pipeline.errors import ArtifactError, InputError
from pipeline.export.formats.table import FORMATS, vectors_of
from pipeline.settings import home
from tests.export import small_models

TEXT = (Path(__file__).resolve().parents[2] / "docs/export.md").read_text(encoding="utf-8")
COMMANDS = [line for line in re.findall(r"^angle-adapt .*$", TEXT, re.MULTILINE)]
EXPORTS = {shlex.split(line)[-1]: line for line in COMMANDS if "--push" not in line}
# What no other format holds: among others, layers that see later tokens.
ONNX_ONLY = "for-onnx"
OPENED: dict[str, Any] = {
    "attention": "bidirectional", "bidirectional_from": 1, "layers": 2, "pooling": "cls_mean",
    "dimensions": 40,
}  # fmt: skip
SOME = ["Open a socket.", "", 'Read "bytes".', "Return the size of a file, " * 30]


@pytest.fixture(scope="module")
def folder(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands are run, with a model of the name that they give."""
    place = tmp_path_factory.mktemp("commands")
    backbone = small_models.backbone(place / "backbone", "llama", tiny_backbone)
    small_models.model(place / "my-model", backbone)
    small_models.model(place / ONNX_ONLY / "my-model", backbone, **OPENED)
    return place


@pytest.fixture(scope="module", params=EXPORTS)
def exported(request: pytest.FixtureRequest, folder: Path) -> Path:
    """What one of the commands wrote; it is run once."""
    here = place_of(request.param, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        shown = CliRunner().invoke(app, shlex.split(EXPORTS[request.param])[1:])
        assert shown.exit_code == 0, shown.output
    out = here / request.param
    manifest = json.loads((out / "export.json").read_text(encoding="utf-8"))
    assert f"{manifest['parity']['lowest']:.5f}" in shown.output
    return out


def place_of(name: str, folder: Path) -> Path:
    return folder / ONNX_ONLY if name == ONNX_ONLY else folder


def read(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "export.json").read_text(encoding="utf-8"))
    return found


def test_the_export_makes_the_models_vectors(exported: Path) -> None:
    manifest = read(exported)
    made = vectors_of(manifest["format"], exported, SOME[:3])
    assert made.dtype == np.float32
    own = load_model(exported.parent / "my-model", home()).encode(SOME[:3])
    bound = FORMATS[manifest["format"]].bounds[manifest["precision"]]
    assert cosine(own, made).min() >= bound - 0.001  # own: in the precision of this processor
    assert manifest["parity"]["lowest"] >= bound == manifest["parity"]["bound"]


def test_the_manifest_and_the_card_say_what_it_is(exported: Path, folder: Path) -> None:
    manifest = read(exported)
    assert manifest["source"]["backbone"] == str(folder / "backbone")
    assert manifest["versions"]["transformers"]
    assert manifest["parity"]["texts"] >= 20
    assert manifest["tokens"]["limit"] == 24 + len(
        AutoTokenizer.from_pretrained(exported)('Summarize sentence "" in one word:"')["input_ids"]
    )
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert f"{manifest['parity']['lowest']:.5f}" in card
    assert not list(exported.rglob("*.py")) + list(exported.rglob("*.bin"))


def test_the_folder_is_not_written_over(exported: Path) -> None:
    before = sorted(path.name for path in exported.parent.iterdir())
    asked = shlex.split(EXPORTS[exported.name])[1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(exported.parent)
        shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 3
    assert "not an empty folder" in shown.output
    assert sorted(path.name for path in exported.parent.iterdir()) == before


def test_an_export_without_its_manifest_or_of_a_newer_version_is_refused(
    exported: Path, tmp_path: Path
) -> None:
    manifest = read(exported)
    if manifest["format"] == "sentence-transformers":
        pytest.skip("sentence-transformers reads its own files alone")
    with pytest.raises(InputError, match="not an export of ours"):
        vectors_of(manifest["format"], tmp_path, ["a"])
    (tmp_path / "export.json").write_text(json.dumps(manifest | {"export_version": 99}))
    with pytest.raises(ArtifactError, match="version 99"):
        vectors_of(manifest["format"], tmp_path, ["a"])
    (tmp_path / "export.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="missing"):
        vectors_of(manifest["format"], tmp_path, ["a"])


def test_peft_itself_loads_the_adapters(folder: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        asked = ["export", "my-model", "--format", "peft", "-o", str(tmp_path / "p")]
        assert CliRunner().invoke(app, asked).exit_code == 0
    named = json.loads((tmp_path / "p/adapter_config.json").read_text())["base_model_name_or_path"]
    base = AutoModel.from_pretrained(named)
    model = PeftModel.from_pretrained(base, str(tmp_path / "p")).eval()
    encoder = load_model(folder / "my-model", home(), base.dtype)
    (row,) = encoder.token_ids(["Open a socket."])
    states = model(input_ids=base.dummy_inputs["input_ids"].new_tensor([row])).last_hidden_state
    found = states[:, -1].detach().numpy()
    assert cosine(encoder.encode(["Open a socket."]), found)[0] >= 0.9999


def test_every_format_is_in_the_document() -> None:
    assert {shlex.split(line)[4] for line in EXPORTS.values()} == set(FORMATS)
    for name, known in FORMATS.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))
        for precision, bound in known.bounds.items():
            assert f"{precision} ({bound})" in row or f"as trained ({bound})" in row
        assert all(form in row for form in known.forms)
