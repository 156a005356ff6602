"""The table of checks, and a walk through it that never stops at a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pipeline.diagnosis import folder, tokens, vectors
from pipeline.diagnosis.finding import Closeness, Finding, problem, sound, unknown
from pipeline.diagnosis.subject import Subject
from pipeline.encoder import Vectors
from pipeline.errors import AngleAdaptError


class Check(NamedTuple):
    """What to look at, and the checks without which that says nothing."""

    look: Callable[[Subject], Finding]
    needs: tuple[str, ...] = ()


def loading(subject: Subject) -> Finding:
    """The model loads, every tensor of the adapter in its place."""
    encoder = subject.encoder
    numbers = sum(parameter.numel() for parameter in encoder.model.parameters())
    kind, where = str(encoder.model.dtype).removeprefix("torch."), encoder.model.device.type
    return sound(f"{numbers / 1e6:.1f} million parameters, {kind} on {where}", parameters=numbers)


CHECKS: Final[dict[str, Check]] = {
    "files": Check(folder.files),
    "unchanged": Check(folder.unchanged, ("files",)),
    "backbone": Check(folder.found_backbone, ("files",)),
    "same backbone": Check(folder.same_backbone, ("backbone",)),
    "tokenizer": Check(folder.tokenizer, ("backbone",)),
    "positions": Check(folder.positions, ("backbone",)),
    "loading": Check(loading, ("positions",)),
    "finite": Check(vectors.finite, ("loading",)),
    "effect": Check(vectors.effect, ("finite",)),
    "merged": Check(vectors.merged, ("finite",)),
    "trainer": Check(vectors.trainer, ("merged", "unchanged", "same backbone")),
    "batches": Check(vectors.batches, ("finite",)),
    "template": Check(tokens.template, ("loading",)),
    "odd texts": Check(tokens.odd_texts, ("finite",)),
    "context": Check(tokens.context, ("finite",)),
}

# The least cosine of an export with the original.
EXPORTED: Final = 0.999


def examine(subject: Subject) -> Iterator[Finding]:
    """Yield the finding of every check in turn; one that hangs on a failed one is not made."""
    failed: set[str] = set()
    for name, check in CHECKS.items():
        hindered = [need for need in check.needs if need in failed]
        if hindered:
            failed.add(name)
            found = unknown(f"not before {hindered[0]!r} is mended")
        else:
            found = attempted(lambda look=check.look: look(subject))  # type: ignore[misc]
        if found.state == "problem":
            failed.add(name)
        yield found.model_copy(update={"check": name})


def attempted(look: Callable[[], Finding]) -> Finding:
    """Return the finding of a check; an error is a finding too."""
    try:
        return look()
    except AngleAdaptError as error:
        return problem(str(error), "do what the message says, then run this again")
    except Exception as error:  # noqa: BLE001 - any failure is the finding
        reason = " ".join(str(error).split())[:200]
        return problem(f"{type(error).__name__}: {reason}", folder.AGAIN)


def export(original: Vectors, exported: Vectors, name: str, least: float = EXPORTED) -> Finding:
    """Compare the vectors of an export, (texts, dimensions), with the original's."""
    close = Closeness.of(original, exported)
    figures = {"cosine": close.cosine, "difference": close.difference, "least": least}
    if original.shape != exported.shape:
        detail = f"{name}: vectors of shape {exported.shape}, not {original.shape}"
        return problem(detail, "export the model again", **figures)
    detail = f"{name}: {close}"
    if close.cosine >= least:
        return sound(detail, **figures)
    remedy = f"export the model again; the cosine must be at least {least:g}"
    return problem(detail, remedy, **figures)
