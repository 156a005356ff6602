"""Whether this machine can run the pipeline: one line for each thing it needs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Final, NamedTuple

from packaging.requirements import Requirement

from flows import server
from pipeline.settings import Home, home

BACKBONE: Final = "smollm2-135m-instruct"
FREE_BYTES: Final = 3 * 1024**3
# Packages shown even when all is well.
SHOWN: Final = frozenset(
    {"torch", "transformers", "peft", "pyarrow", "scipy", "prefect", "fastapi", "sqlalchemy"}
)


class Finding(NamedTuple):
    """One line of the report; ``remedy`` is empty when all is well."""

    name: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return the finding as it is printed."""
        state = "problem" if self.remedy else "ok"
        advice = f": {self.remedy}" if self.remedy else ""
        return f"{self.name:16}{state:9}{self.detail}{advice}"


def examine() -> Iterator[Finding]:
    """Yield a finding for everything a run needs, quickest first."""
    place = home()
    yield _python()
    yield from _packages()
    checks: tuple[tuple[str, Callable[[Home], Finding]], ...] = (
        ("disk", _disk), ("prefect server", _server), ("backbone", _backbone), ("device", _device),
    )  # fmt: skip
    for name, check in checks:
        try:
            yield check(place)
        except Exception as error:  # noqa: BLE001 - any failure is the finding
            yield Finding(name, f"{type(error).__name__}: {error}", "reinstall angle-adapt")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", version, "" if sys.version_info >= (3, 11) else "use 3.11 or newer")


def _packages() -> Iterator[Finding]:
    try:
        wanted = map(Requirement, metadata.requires("angle-adapt") or ())
    except metadata.PackageNotFoundError:
        yield Finding("angle-adapt", "not installed", "pip install -e . in its checkout")
        return
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            finding = _package(requirement)
            if finding.remedy or requirement.name in SHOWN:
                yield finding


def _package(requirement: Requirement) -> Finding:
    advice = f"pip install '{requirement}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, "not installed", advice)
    fits = requirement.specifier.contains(version, prereleases=True)
    return Finding(requirement.name, version, "" if fits else advice)


def _disk(place: Home) -> Finding:
    advice = "set ANGLE_ADAPT_HOME to a folder on another disk"
    try:
        place.root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.root) as probe:
            probe.write(b"x")
    except OSError as error:
        return Finding("disk", f"cannot write to {place.root}: {error.strerror}", advice)
    free = shutil.disk_usage(place.root).free
    detail = f"{free / 1024**3:.1f} GiB free in {place.root}"
    return Finding("disk", detail, "" if free > FREE_BYTES else f"free 3 GiB, or {advice}")


def _server(place: Home) -> Finding:
    name = "prefect server"
    if named := os.environ.get("PREFECT_API_URL"):
        remedy = "" if server.answers(named) else "start it, or unset PREFECT_API_URL"
        return Finding(name, f"{named} {'does not answer' if remedy else 'answers'}", remedy)
    if api := server.running(place.prefect):
        return Finding(name, f"{server.ui_url(api)} answers")
    return Finding(name, "none runs yet; a run or `angle-adapt ui` starts a local one")


def _backbone(_: Home) -> Finding:
    from pipeline.encoder import backbone  # noqa: PLC0415 - only for this check

    if backbone.present(BACKBONE):
        return Finding("backbone", f"{BACKBONE} is present")
    return Finding("backbone", f"{BACKBONE} is missing", backbone.BUILT_IN[BACKBONE][2])


def _device(_: Home) -> Finding:
    from pipeline.encoder import loading  # noqa: PLC0415 - imports torch

    kind, dtype = loading.device().type, str(loading.fast_dtype()).removeprefix("torch.")
    slow = "" if dtype == "bfloat16" else "; no bfloat16, so models take about twice the time"
    return Finding("device", f"{kind}, {os.cpu_count()} cores, {dtype}{slow}")
