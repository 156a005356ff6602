"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import psutil

from pipeline import __version__, runs

CPU: Final = Path("/proc/cpuinfo")
# Instructions that decide how fast a model runs.
INSTRUCTIONS: Final = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def versions() -> dict[str, str]:
    """Return the versions of this project, of Python and of the libraries that decide a result."""
    return {"angle-adapt": __version__, **runs.versions()}


def hardware() -> dict[str, str | int | float]:
    """Return the machine's parts, and how busy it was before the measurement."""
    described = CPU.read_text(encoding="utf-8") if CPU.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", described, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)$", described, re.MULTILINE)
    known = flags[1].split() if flags else []
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in known),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def _gpu() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none"
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return ", ".join(found.stdout.split("\n")).strip(", ") or "none"
