"""An export on the Hugging Face Hub, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, EndpointError
from pipeline.export.formats.manifest import read_manifest, require
from pipeline.settings import secret

TOKEN: Final = "HF_TOKEN"  # noqa: S105 - the name of it


def check(name: str) -> None:
    """Refuse before any work what the Hub would refuse after it.

    Raises:
        ConfigError: when the name is none, or there is no token.
    """
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - only where it is used
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # noqa: PLC0415

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        message = f"{name!r} is no name on the Hub, such as organisation/model: {error}"
        raise ConfigError(message) from error
    if not secret(TOKEN):
        message = f"pushing needs a token that may write: set {TOKEN}"
        raise ConfigError(message)


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload the export in ``folder`` as ``name``, in one commit; return where it is.

    Raises:
        ConfigError: when the name is none, or there is no token.
        InputError: when the folder is no export.
        EndpointError: when the Hub refuses or cannot be reached; the folder stays as it is.
    """
    check(name)
    manifest = read_manifest(folder)
    require(folder, "README.md")
    import httpx2  # noqa: PLC0415
    from huggingface_hub import HfApi  # noqa: PLC0415 - only where it is used
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled  # noqa: PLC0415

    api = HfApi(token=secret(TOKEN))
    described = f"{manifest['format']}, {manifest['form']}, {manifest['precision']}"
    try:
        made = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id, folder_path=folder, commit_message=f"Export: {described}"
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        message = f"{name} was not pushed: {reason}. The export is in {folder}; push it again"
        raise EndpointError(message) from error
    return f"{api.endpoint}/{made.repo_id}"
