"""What the environment decides: where data lives. The only reader of environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from platformdirs import user_data_path

HOME_VARIABLE: Final = "ANGLE_ADAPT_HOME"
SECRETS_FILE: Final = ".env"


@dataclass(frozen=True)
class Home:
    """The folder that holds everything angle-adapt writes; shared by all checkouts of a user."""

    root: Path

    @property
    def sources(self) -> Path:
        """What was fetched from elsewhere, a folder for each kind of source."""
        return self.root / "sources"

    @property
    def store(self) -> Path:
        """Content-addressed artefacts and the index of finished stages."""
        return self.root / "store"

    @property
    def backbones(self) -> Path:
        """Backbones converted once to safetensors."""
        return self.root / "backbones"

    @property
    def journal(self) -> Path:
        """Annotations and vectors that cost time or money, one row each."""
        return self.root / "journal"

    @property
    def checkpoints(self) -> Path:
        """Training runs that have not ended, one folder each."""
        return self.root / "checkpoints"

    @property
    def runs(self) -> Path:
        """One folder a run: report.html, report.json, links to the model and the dataset."""
        return self.root / "runs"

    @property
    def prefect(self) -> Path:
        """Home of the local Prefect server; holds the history of runs."""
        return self.root / "prefect"


def home() -> Home:
    """Return the data folder: ``ANGLE_ADAPT_HOME``, else the platform's place for user data."""
    named = os.environ.get(HOME_VARIABLE)
    return Home(Path(named).expanduser().resolve() if named else user_data_path("angle-adapt"))


def secret(name: str) -> str:
    """Return a secret by name: from the environment, else from `.env` in this folder, else ""."""
    return os.environ.get(name) or dotenv_values(SECRETS_FILE).get(name) or ""
