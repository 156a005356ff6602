from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.disk import file_digest
from pipeline.encoder import probe
from pipeline.errors import ArtifactError

TOKENS = [[number, 7] for number in range(len(probe.TEXTS))]
VECTORS = np.arange(len(probe.TEXTS) * 4, dtype=np.float32).reshape(-1, 4)


def test_what_is_written_is_read_with_the_digest_of_the_adapter(tmp_path: Path) -> None:
    assert probe.read(tmp_path) is None
    probe.write(tmp_path, VECTORS, TOKENS, "torch.float32")
    assert probe.read(tmp_path)[0].adapter == ""
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(b"anything")
    probe.write(tmp_path, VECTORS[:, ::-1], TOKENS, "torch.bfloat16", "nf4")
    found, vectors = probe.read(tmp_path)
    assert found == probe.Probe(
        texts=probe.TEXTS,
        tokens=tuple(map(tuple, TOKENS)),
        adapter=file_digest(weights),
        dtype="torch.bfloat16",
        quantization="nf4",
    )
    assert np.array_equal(vectors, VECTORS[:, ::-1])


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_one_is_named_and_may_be_deleted(tmp_path: Path, damage: str) -> None:
    probe.write(tmp_path, VECTORS, TOKENS, "torch.float32")
    path = tmp_path / probe.PROBE_FILE
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-9], "foreign": content, "empty": b""}[damage])
    if damage == "foreign":
        save_file({"vectors": VECTORS}, path)
    with pytest.raises(ArtifactError, match=r"probe\.safetensors is damaged.*delete this file"):
        probe.read(tmp_path)


def test_its_last_text_is_longer_than_any_that_is_kept_whole() -> None:
    """So that a changed max_length, of at most 512 tokens by default, changes a vector."""
    assert len(probe.TEXTS[-1].split()) > 1_000
    assert max(len(text.split()) for text in probe.TEXTS[:-1]) < 30
