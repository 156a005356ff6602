"""What every test shares: a data folder of its own, no network, and real stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Set before any library that reads them is imported.
os.environ.update(HF_HUB_OFFLINE="1", DO_NOT_TRACK="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")

from pipeline.artifacts import Store
from pipeline.records import Document, text_id
from pipeline.settings import HOME_VARIABLE, Home


@pytest.fixture(autouse=True)
def _data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One data folder for the session, so that the backbone is converted once."""
    folder = tmp_path_factory.getbasetemp() / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder))
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


@pytest.fixture
def document() -> Callable[..., Document]:
    def make(text: str, name: str = "", **fields: str) -> Document:
        identity = text_id(text)
        values = {"id": identity, "text": text, "name": name or identity, "source": "test"}
        return Document.model_validate(values | fields)

    return make
