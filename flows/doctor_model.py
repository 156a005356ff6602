"""Whether a model gives the vectors it was trained to give, and its exports the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flows import doctor, models
from pipeline.diagnosis.finding import Finding, unknown
from pipeline.settings import home

if TYPE_CHECKING:
    from pipeline.diagnosis.subject import Subject

EXPORT: Final = "export"
LARGE: Final = 1_000_000_000  # parameters from which a text is work for more than one core


def examine(model: str, exports: Sequence[Path] = ()) -> Iterator[Finding]:
    """Yield a finding for every check of the model that a user names, and for every export.

    Raises:
        InputError: when there is no folder of that name.
    """
    from pipeline.diagnosis import examination  # noqa: PLC0415 - imports torch
    from pipeline.diagnosis.subject import Subject  # noqa: PLC0415

    subject = Subject(models.find(model), home())
    broken = ""
    with _threads() as one:
        for found in examination.examine(subject):
            if found.check == "loading" and found.figures.get("parameters", LARGE) < LARGE:
                one()
            if found.check == "finite" and found.state != "ok":
                broken = found.check
            yield found
    for folder in exports:
        found = unknown(f"not before {broken!r} is mended") if broken else _export(subject, folder)
        yield found.model_copy(update={"check": EXPORT})


@contextmanager
def _threads() -> Iterator[Callable[[], None]]:
    """Give a function that leaves torch one thread, until the end of the block.

    A few short texts of a small model are too little to share: beside another busy process, two
    threads wait for each other eight times as long as one works.
    """
    import torch  # noqa: PLC0415 - see above

    before = torch.get_num_threads()
    try:
        yield lambda: torch.set_num_threads(1)
    finally:
        torch.set_num_threads(before)


def _export(subject: Subject, folder: Path) -> Finding:
    import torch  # noqa: PLC0415 - see above

    from pipeline.diagnosis import examination  # noqa: PLC0415
    from pipeline.encoder import probe  # noqa: PLC0415
    from pipeline.export.formats import manifest, table  # noqa: PLC0415

    def compared() -> Finding:
        said = manifest.read_manifest(folder)
        name, precision = str(said["format"]), str(said["precision"])
        exported = table.vectors_of(name, folder, probe.TEXTS)
        least = table.FORMATS[name].bounds.get(precision, examination.EXPORTED)
        original = subject.vectors("merged", torch.float32)
        return examination.export(original, exported, f"{folder.name} ({name}, {precision})", least)

    return examination.attempted(compared)


def machine() -> Iterator[Finding]:
    """Yield what is found of the machine, in the same form."""
    for name, detail, remedy in doctor.examine():
        state = "problem" if remedy else "ok"
        yield Finding.model_validate(
            {"check": name, "state": state, "detail": detail, "remedy": remedy}
        )


def line(found: Finding) -> str:
    """Return a finding as it is printed; what to do stands below."""
    advice = f"\n{'':16}-> {found.remedy}" if found.remedy else ""
    return f"{found.check:16}{found.state:13}{found.detail}{advice}"


def as_json(findings: Iterable[Finding]) -> str:
    """Return all findings as one JSON value: {"sound": true or false, "findings": [...]}."""
    rows: list[dict[str, Any]] = [found.model_dump(mode="json") for found in findings]
    sound = all(row["state"] != "problem" for row in rows)
    return json.dumps({"sound": sound, "findings": rows}, indent=2, ensure_ascii=False)
