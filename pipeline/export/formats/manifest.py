"""What an export says of itself: format, precision, source, versions, and how equal it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ArtifactError, InputError

MANIFEST: Final = "export.json"
VERSION: Final = 1


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export.

    Raises:
        InputError: when the folder holds none.
        ArtifactError: when it was written by a newer version.
    """
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{folder} is not an export of ours: {MANIFEST} is missing or unreadable"
        raise InputError(message) from error
    if found.get("export_version") != VERSION:
        message = (
            f"{folder} is an export of version {found.get('export_version')}; this version reads "
            f"{VERSION}: export the model again, or update angle-adapt"
        )
        raise ArtifactError(message)
    return found


def require(folder: Path, *files: str) -> None:
    """Refuse an export that lacks one of its files.

    Raises:
        InputError: names what is missing.
    """
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        message = (
            f"the export {folder} is incomplete: {', '.join(missing)} missing; export the model "
            "again"
        )
        raise InputError(message)
