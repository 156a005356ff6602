"""Checkpoints: what is read is what was written, or an older one that is whole."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import torch

from pipeline.errors import ResourceError
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Checkpoint, Checkpoints


def saved(folder: Path, *steps: int) -> Checkpoints:
    keep = Checkpoints(folder)
    for step in steps:
        keep.save(Checkpoint(step, {"weight": torch.full((9,), float(step))}, {"seen": step}))
    return keep


def test_the_newest_is_read_and_two_are_kept(tmp_path: Path) -> None:
    keep = saved(tmp_path, 1, 2, 10)
    found = keep.newest()
    assert found is not None
    assert (found.step, found.facts) == (10, {"seen": 10})
    assert torch.equal(found.tensors["weight"], torch.full((9,), 10.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000010"]
    keep.clear()
    assert keep.newest() is None


@pytest.mark.parametrize("name", [checkpoints.TENSORS, checkpoints.FACTS, checkpoints.MANIFEST])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep = saved(tmp_path, 1, 2)
    file = tmp_path / "step-00000002" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with caplog.at_level(logging.WARNING):
        found = keep.newest()
    assert found is not None
    assert found.step == 1
    assert "step-00000002 is not whole" in caplog.text


def test_a_full_disk_leaves_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = saved(tmp_path, 1)
    real = checkpoints.sync
    calls: list[Path] = []
    fails_at = 0

    def full(path: Path) -> None:
        calls.append(path)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    monkeypatch.setattr(checkpoints, "sync", full)
    for place in range(1, 5):  # at every file and at the folder
        fails_at = place
        calls.clear()
        with pytest.raises(ResourceError, match="no space left"):
            saved(tmp_path, 2)
        found = keep.newest()
        assert found is not None
        assert found.step == 1
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
