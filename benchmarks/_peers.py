"""Other libraries in environments of their own, and jobs done there in processes of their own.

An environment is made once from pinned requirements and kept in the data folder. Its last step is
a file that says it is complete; without that file it is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock

from benchmarks._record import Figure
from benchmarks.peers import gauge
from benchmarks.peers.gauge import Job, Report
from pipeline.config import CHECKOUT
from pipeline.disk import disk_errors, write_atomically
from pipeline.errors import ResourceError
from pipeline.settings import HOME_VARIABLE, Home

log = logging.getLogger(__name__)

COMPLETE: Final = "complete.txt"
CORES: Final = 2


class Peer(NamedTuple):
    """A library: the module that does its jobs, and what its environment holds; none for ours."""

    module: str
    requirements: Path | None


OURS: Final = "angle-adapt"
ANGLE_EMB: Final = "angle_emb"
SENTENCE_TRANSFORMERS: Final = "sentence-transformers"

_FOLDER: Final = CHECKOUT / "benchmarks" / "peers"
PEERS: Final[dict[str, Peer]] = {
    OURS: Peer("benchmarks.peers.ours", None),
    ANGLE_EMB: Peer("benchmarks.peers.with_angle_emb", _FOLDER / "angle_emb.txt"),
    SENTENCE_TRANSFORMERS: Peer(
        "benchmarks.peers.with_sentence_transformers", _FOLDER / "sentence_transformers.txt"
    ),
}


def interpreter(peer: Peer, home: Home) -> str:
    """Return the interpreter that runs a library's jobs; its environment is made when needed."""
    return str(environment(peer.requirements, home)) if peer.requirements else sys.executable


def environment(requirements: Path, home: Home) -> Path:
    """Return the interpreter of the environment that holds exactly ``requirements``.

    Raises:
        ResourceError: when it cannot be made.
    """
    text = requirements.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{sys.version_info[:2]}\n{text}".encode()).hexdigest()[:12]
    folder = home.root / "peers" / f"{requirements.stem}-{digest}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not ((folder / COMPLETE).is_file() and python.exists()):
                shutil.rmtree(folder, ignore_errors=True)
                log.info("making the environment of %s: minutes, once", requirements.stem)
                _make(folder, python, requirements)
                write_atomically(folder / COMPLETE, text)
    return python


def _make(folder: Path, python: Path, requirements: Path) -> None:
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--no-input", "-r", str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = _last_lines(done.stderr or done.stdout)
            message = f"the environment for {requirements} cannot be made: {said}"
            raise ResourceError(message)


def run(name: str, job: Job, kind: type[Report], home: Home) -> Report:
    """Return what the library called ``name`` reports of ``job``, done in a process of its own.

    Raises:
        ResourceError: when it fails, or its torch is another than ours.
    """
    peer = PEERS[name]
    python = interpreter(peer, home)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        gauge.write(job, path)
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            [python, "-m", peer.module, str(path)], cwd=CHECKOUT, env=surroundings(home),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        message = f"{name} could not {job.task}: {_last_lines(done.stderr)}"
        raise ResourceError(message)
    report = gauge.parse(done.stdout.strip().splitlines()[-1], kind)
    _check_torch(name, report.versions, gauge.versions())
    return report


def surroundings(home: Home) -> dict[str, str]:
    """Return the environment variables of a job: two cores, no GPU, no network."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    threads = os.environ.get("OMP_NUM_THREADS", str(min(CORES, os.cpu_count() or 1)))
    return kept | {
        HOME_VARIABLE: str(home.root),
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "true",
    }


def without_targets(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return the figures of a quick instance: they show that all of it runs, and judge nothing."""
    return tuple(Figure.of(f.name, f.value, f.unit, f.comparison) for f in figures)


def _check_torch(name: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    if theirs["torch"] != ours["torch"]:
        message = f"{name} has torch {theirs['torch']}, we have {ours['torch']}: no fair comparison"
        raise ResourceError(message)


def _last_lines(text: str, number: int = 4) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-number:])
