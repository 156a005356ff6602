"""8 bits in ONNX: all that is large is stored so, and vectors stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from pipeline.export.formats import writing
from pipeline.export.formats.onnx_graph import GRAPH
from pipeline.settings import home
from tests.export import small_models


def test_in_8_bits_no_matrix_of_a_bert_is_left_as_it_was(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    backbone = small_models.backbone(tmp_path / "b", "bert", tiny_backbone)
    model = small_models.model(tmp_path / "m", backbone)
    asked = writing.Request(format="onnx", precision="int8")
    writing.export(model, asked, tmp_path / "out", home())
    parity = json.loads((tmp_path / "out/export.json").read_text(encoding="utf-8"))["parity"]
    weights = onnx.load(tmp_path / "out" / GRAPH).graph.initializer
    kinds = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}

    assert parity["lowest"] >= parity["bound"] == 0.98
    large = [one for one in weights if len(one.dims) > 1 and max(one.dims) >= 64]
    assert large
    whole = [one for one in large if one.data_type not in kinds and min(one.dims) > 2]
    assert [(one.name, list(one.dims)) for one in whole] == []
