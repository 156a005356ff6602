"""A tiny model that was really trained, and copies of it to be damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnosis.damage import Model, trained


@pytest.fixture(scope="session")
def original(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A sound model; tests change copies of it only."""
    place = tmp_path_factory.mktemp("sound")
    shutil.copytree(tiny_backbone, place / "backbone")
    return Model(trained(place / "backbone", place / "model"), place / "backbone")


@pytest.fixture
def model(original: Model, tmp_path: Path) -> Model:
    """A copy of the sound model."""
    shutil.copytree(original.folder, tmp_path / "model")
    return Model(tmp_path / "model", original.backbone)


@pytest.fixture
def moved(original: Model, tmp_path: Path) -> Model:
    """A copy of the sound model, and of its backbone, for changes to that."""
    shutil.copytree(original.backbone, tmp_path / "backbone")
    shutil.copytree(original.folder, tmp_path / "model")
    found = Model(tmp_path / "model", tmp_path / "backbone")
    found.describe(backbone=str(found.backbone))
    return found


@pytest.fixture
def train(tiny_backbone: Path, tmp_path: Path) -> Callable[..., Model]:
    """Trains a model on a backbone that is damaged first, so that it was always like that."""

    def make(damage: Callable[[Path], object] = lambda _: None, **how: object) -> Model:
        place = tmp_path / "backbone"
        shutil.copytree(tiny_backbone, place)
        damage(place)
        return Model(trained(place, tmp_path / "model", **how), place)

    return make
