"""Any model on any sets, for the command `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flows import models
from pipeline import config
from pipeline.config import DomainConfig
from pipeline.disk import write_atomically
from pipeline.encoder import Encoder
from pipeline.encoder.spec import is_ours
from pipeline.errors import InputError
from pipeline.sections import SetSettings


class Request(NamedTuple):
    """What is measured: a model, what it is held against, and with which sets.

    Sets are paths, with or without ``NAME=`` before them, beside those of the domain: that of the
    run where the model is a run's. Without ``base`` an adapter is compared with its backbone, and a
    whole model with nothing.
    """

    model: str
    base: str = ""
    against: Sequence[str] = ()
    domain: Path | None = None
    sets: Sequence[str] = ()
    general: Sequence[str] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - of SetSettings, never changed


def evaluate(request: Request) -> dict[str, Any]:
    """Return the summary of an evaluation, as that of a run; every text is encoded once a model.

    Raises:
        InputError: when a model or a set is not there or cannot be used.
    """
    settings = _settings(request)
    from pipeline.evaluation import stage  # noqa: PLC0415 - a second
    from pipeline.evaluation.measure import Models, measure  # noqa: PLC0415

    given = stage.in_order(stage.measuring(settings), None)
    if not any(one.role == "domain" for one in given):
        message = "nothing to measure with: name a set with --on, or a domain with --domain"
        raise InputError(message)
    base, adapted, named = _compared(request)
    others = {name: models.load(name).encoder for name in request.against}
    found = measure(Models(base, adapted, others), given, settings.evaluate)
    return {"model": request.model, "base": named, **found.summary}


def _settings(request: Request) -> DomainConfig:
    """Return the domain's settings with the sets that were named besides."""
    record = None if request.domain else models.record_of(request.model)
    plain = record.config if record else {"domain": "evaluate"}
    given = config.load(request.domain) if request.domain else config.parse(plain, request.model)
    sets = dict(given.evaluate.sets)
    for role, named in (("domain", request.sets), ("general", request.general)):
        for text in named:
            name, _, path = text.rpartition("=")
            place = Path(path).expanduser()
            called = name or (place.name if place.is_dir() else place.stem)
            values = {"path": path, "role": role, **request.options}
            sets[called] = SetSettings.model_validate(values)
    values = given.evaluate.model_dump() | {"sets": {n: s.model_dump() for n, s in sets.items()}}
    return config.parse({**given.model_dump(), "evaluate": values}, "evaluate")


def _compared(request: Request) -> tuple[Encoder, Encoder, str]:
    """Return base, model and the name of the base; layers that both have are run once."""
    given = models.load(request.model)
    if request.base:
        return models.load(request.base).encoder, given.encoder, request.base
    if not given.adapted_from:
        return given.encoder, given.encoder, ""
    from pipeline.encoder import layers, transformer  # noqa: PLC0415 - imports torch
    from pipeline.settings import home  # noqa: PLC0415

    place = models.find(request.model)
    backbone = transformer.load_backbone(transformer.spec_of(place), home())
    lowest = transformer.read_description(place).first_layer if is_ours(place) else 0
    base, adapted = layers.share_lower(backbone, given.encoder, lowest)
    return base, adapted, given.adapted_from


def as_text(summary: dict[str, Any]) -> str:
    """Return the figures as aligned lines, then the verdict where two models were compared."""
    alone = not summary["base"]
    head = ("set", "measure", "base", "model", "difference", "interval", "p (Holm)")
    rows = [head, *(row for one in summary["sets"] for row in _rows(one, summary["labels"]))]
    shown = [(row[0], row[1], row[3]) for row in rows] if alone else rows
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
    if not alone:
        lines += ["", f"base       {summary['base']}", f"verdict    {summary['verdict']}"]
        lines += [f"           {reason}" for reason in summary["reasons"]]
    return "\n".join([*lines, *(f"note       {note}" for note in summary["notes"])])


def _rows(one: dict[str, Any], labels: dict[str, str]) -> Iterable[tuple[str, ...]]:
    name = f"{one['name']} ({one['about']})"
    for measure, found in ({one["measure"]: one["found"]} | one["further"]).items():
        yield (name, labels[measure], *_figures(found))
        name = ""
    for measure, (base, model) in one["points"].items():
        yield ("", labels[measure], f"{base:.4f}", f"{model:.4f}", "", "", "")
    for other, found in one["others"].items():
        yield ("", f"base: {other}", *_figures(found))
    for reference, value in one["references"].items():
        yield ("", labels[reference], "", f"{value:.4f}", "", "", "")


def _figures(found: dict[str, Any]) -> tuple[str, ...]:
    p = "" if found["p_holm"] is None else f"{found['p_holm']:.4f}"
    interval = f"{found['low']:+.4f} to {found['high']:+.4f}"
    values = f"{found['base']:.4f}", f"{found['adapted']:.4f}", f"{found['difference']:+.4f}"
    return (*values, interval, p)


def write(summary: dict[str, Any], out: Path) -> None:
    """Write the summary as JSON."""
    write_atomically(out, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
