"""Checks of the vectors: what the adapter does to them, and that every way to them is the same."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file

from pipeline.diagnosis.finding import Closeness, Finding, problem, sound, unknown
from pipeline.diagnosis.subject import Form, Subject
from pipeline.diagnosis.texts import MANY
from pipeline.encoder import Vectors, cosine, probe
from pipeline.encoder.adapters import WEIGHTS
from pipeline.encoder.batches import pad
from pipeline.encoder.spec import MODEL_FILE
from pipeline.encoder.transformer import TransformerEncoder

UNMOVED: Final = 1 - 1e-5  # mean cosine of base and adapted, in float32, from which none is seen
# The least cosine of two ways to the same vectors, by the precision of the coarser.
CLOSE: Final = {torch.float32: 1 - 1e-5, torch.float16: 0.998, torch.bfloat16: 0.995}
PRECISIONS: Final = (torch.float32, torch.bfloat16)
_QUANTIZED: Final = 0.95
ALONE: Final = 16  # texts that are encoded one by one too


def finite(subject: Subject) -> Finding:
    """Vectors are finite, of length 1, and the same bits when they are made again."""
    first = subject.usual
    again = subject.encoder.encode(probe.TEXTS, "")
    lengths = np.abs(np.linalg.norm(first, axis=1) - 1)
    bad = int((~np.isfinite(first).all(axis=1)).sum())
    off, moved = float(np.nanmax(lengths, initial=0.0)), float(np.abs(first - again).max())
    figures = {"not_finite": bad, "length_error": off, "repeated": moved}
    if bad or off > 1e-3:
        detail = f"{bad} of {len(first)} vectors are not finite; lengths are 1 to within {off:.1e}"
        remedy = (
            "the weights are damaged, or overflow: look for large or missing numbers in the "
            "backbone's and the adapter's weights, and train again with a lower learning_rate"
        )
        return problem(detail, remedy, **figures)
    allowed = 0.0 if subject.encoder.model.device.type == "cpu" else 1e-2
    detail = f"{len(first)} vectors of {first.shape[1]} dimensions; made again, they differ by "
    if moved > allowed:
        remedy = "something is left to chance: look for dropout in the backbone's config.json"
        return problem(f"{detail}{moved:.1e}", remedy, **figures)
    return sound(f"{detail}{moved:.0e}", **figures)


def effect(subject: Subject) -> Finding:
    """The adapter moves the vectors, and no part of it is left at zero."""
    if not subject.has_adapter:
        return unknown("a whole model has no adapter")
    base, adapted = (subject.vectors(form, torch.float32) for form in ("base", "merged"))
    mean = float(cosine(base, adapted).mean())
    parts, idle = _idle(subject)
    figures = {"mean_cosine": mean, "parts": parts, "idle": idle}
    detail = f"mean cosine of base and adapted {mean:.4f}; {idle} of {parts} B matrices are zero"
    if idle == parts > 0 or mean > UNMOVED:
        remedy = (
            "this is the backbone: training changed nothing, or kept the state before its first "
            f"step; look at the dev curve and at strength in {MODEL_FILE}, and train again"
        )
        return problem(detail, remedy, **figures)
    if idle:
        remedy = "part of the adapter was lost or never trained: train again"
        return problem(detail, remedy, **figures)
    return sound(detail, **figures)


def _idle(subject: Subject) -> tuple[int, int]:
    """Return how many B matrices of LoRA there are, and how many of them are zero throughout."""
    state = load_file(subject.folder / WEIGHTS)
    parts = [
        value for name, value in state.items() if "lora_B" in name or "lora_embedding_B" in name
    ]
    return len(parts), sum(not value.any() for value in parts)


def merged(subject: Subject) -> Finding:
    """The adapter merged into the weights gives what it gives beside them, in each precision."""
    if not subject.has_adapter:
        return unknown("a whole model has no adapter")
    found = {
        dtype: Closeness.of(subject.vectors("merged", dtype), subject.vectors("unmerged", dtype))
        for dtype in PRECISIONS
    }
    detail = "; ".join(f"{_name(dtype)}: {close}" for dtype, close in found.items())
    figures = {f"{_name(dtype)}_cosine": close.cosine for dtype, close in found.items()}
    bad = [_name(dtype) for dtype, close in found.items() if close.cosine < CLOSE[dtype]]
    if bad:
        remedy = (
            f"do not merge in {' or '.join(bad)}: load the adapter beside its backbone, or train "
            "again with a lower learning_rate, as its weights are too large to be added"
        )
        return problem(detail, remedy, **figures)
    return sound(detail, **figures)


def trainer(subject: Subject) -> Finding:
    """The model as loaded here gives the tokens and vectors that were recorded with it."""
    if subject.recorded is None:
        return unknown("no vectors were recorded when the model was written")
    found, wanted = subject.recorded
    if found.texts != probe.TEXTS:
        return unknown("the vectors that were recorded are of texts of another version")
    dtype: torch.dtype = getattr(torch, found.dtype.removeprefix("torch."))
    form: Form = "unmerged" if subject.has_adapter else "merged"
    same, usual = (
        Closeness.of(vectors, wanted) for vectors in (subject.vectors(form, dtype), subject.usual)
    )
    least = _QUANTIZED if found.quantization != "none" else CLOSE[dtype]
    coarse = min(least, CLOSE[subject.encoder.model.dtype])
    rows = subject.encoder.token_ids(probe.TEXTS)
    other = [(len(a), len(b)) for a, b in zip(found.tokens, rows, strict=True) if [*a] != b]
    detail = f"as trained, {_name(dtype)}: {same}; as loaded: {usual}"
    if other:
        before, now = other[-1]
        detail = (
            f"{len(other)} of {len(rows)} texts are other tokens ({before}, now {now}); {detail}"
        )
    figures = {"as_trained_cosine": same.cosine, "as_loaded_cosine": usual.cosine}
    figures["other_tokens"] = len(other)
    if same.cosine >= least and usual.cosine >= coarse and not other:
        return sound(detail, **figures)
    remedy = (
        f"the texts are not treated as in training: compare template, pooling, attention, layers, "
        f"dimensions and max_length in {MODEL_FILE} with a copy of the folder from where it was "
        "trained, and the versions of transformers and peft with those in the run's report"
    )
    return problem(detail, remedy, **figures)


def batches(subject: Subject) -> Finding:
    """A text has one vector, whatever stands beside it and in whatever order."""
    encoder = subject.encoder
    together = encoder.encode(MANY, "")
    ways = {
        "one by one": _first(together, [encoder.encode([text], "") for text in MANY[:ALONE]]),
        "reversed": encoder.encode(MANY[::-1], "")[::-1],
        "padded": _first(together, [_padded(encoder)]),
        "small batches": _small(encoder),
    }
    found = {way: Closeness.of(together, vectors) for way, vectors in ways.items()}
    worst = max(found, key=lambda way: found[way].difference)
    detail = f"worst of {len(ways)} ways, {worst}: {found[worst]}"
    figures = {f"{way}_cosine".replace(" ", "_"): close.cosine for way, close in found.items()}
    if found[worst].cosine >= CLOSE[encoder.model.dtype]:
        return sound(detail, **figures)
    remedy = (
        "padding is seen, or rounding is amplified: check attention and pooling in "
        f"{MODEL_FILE} and is_causal in the backbone's config.json, and try float32"
    )
    return problem(detail, remedy, **figures)


def _first(together: Vectors, rows: list[Vectors]) -> Vectors:
    """Return ``together`` with its first vectors replaced."""
    found = np.concatenate(rows)
    return np.concatenate([found, together[len(found) :]])


@torch.inference_mode()
def _padded(encoder: TransformerEncoder) -> Vectors:
    """Return the vectors of the probe's texts in one batch: all are padded to the longest."""
    rows = encoder.token_ids(probe.TEXTS)
    batch = pad(rows, list(range(len(rows))), encoder.pad_id)
    vectors = torch.nn.functional.normalize(encoder.embed(batch).float(), dim=-1)
    return vectors.cpu().numpy()


def _small(encoder: TransformerEncoder) -> Vectors:
    usual, encoder.max_tokens = encoder.max_tokens, 64
    try:
        return encoder.encode(MANY, "")
    finally:
        encoder.max_tokens = usual


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
