"""ONNX: what is missing is named; tests/export/test_formats_commands.py makes the graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ResourceError
from pipeline.export.formats import onnx_graph, writing
from pipeline.settings import home
from tests.export import small_models

ASKED = writing.Request(format="onnx")


def test_missing_packages_are_named(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    model = small_models.model(tmp_path / "m", backbone)
    monkeypatch.setattr(onnx_graph, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match=r"pip install 'angle-adapt\[onnx\]'"):
        writing.export(model, ASKED, tmp_path / "out", home())
    assert not (tmp_path / "out").exists()
