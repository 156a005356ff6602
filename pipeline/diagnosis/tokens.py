"""Checks of what happens to a text before the model: template, odd characters, and length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pipeline.diagnosis.finding import Finding, problem, sound
from pipeline.diagnosis.subject import Subject
from pipeline.diagnosis.texts import LONG, ODD
from pipeline.encoder.batches import common_start
from pipeline.encoder.spec import MODEL_FILE
from pipeline.encoder.transformer import TransformerEncoder

# Texts that share no token with each other, so that what their rows share is the template's.
_PLAIN: Final = ("apple", "Zebra", "7", "under", "Many words are here", "x")
_SLACK: Final = 8  # tokens by which a cut text may be shorter than allowed, at a boundary
_TOKENIZER: Final = "look at the normalizer and the added tokens in the backbone's tokenizer.json"


def template(subject: Subject) -> Finding:
    """However long or odd a text, the tokens of the template stand before and after it."""
    encoder = subject.encoder
    before, after = _frame(encoder)
    lost = [
        name
        for name, text in {**ODD, **{f"long {name}": text for name, text in LONG.items()}}.items()
        if (row := _row(encoder, text)) is not None and not _framed(row, before, after)
    ]
    tried = len(ODD) + len(LONG)
    figures = {"texts": tried, "lost": len(lost)}
    if lost:
        return problem(f"it is cut for {', '.join(lost[:4])}", _TOKENIZER, **figures)
    kept = f"{len(before)} tokens before and {len(after)} after the text"
    return sound(f"{kept} are there for {tried} texts", **figures)


def _frame(encoder: TransformerEncoder) -> tuple[list[int], list[int]]:
    """Return the tokens that stand before and after every text.

    The one next to the text is left out, as it may become one token with the text's edge; special
    tokens never do.
    """
    rows = encoder.token_ids(_PLAIN)
    before = rows[0][: common_start(rows)]
    turned = [row[::-1] for row in rows]
    after = turned[0][: common_start(turned)][::-1]
    special = set(encoder.tokenizer.all_special_ids)
    before = before if not before or before[-1] in special else before[:-1]
    return before, after if not after or after[0] in special else after[1:]


def _framed(row: Sequence[int], before: Sequence[int], after: Sequence[int]) -> bool:
    starts = list(row[: len(before)]) == list(before)
    return starts and list(row[len(row) - len(after) :]) == list(after)


def _row(encoder: TransformerEncoder, text: str) -> list[int] | None:
    """Return the tokens of a text; None where the tokenizer fails, which is another check's."""
    try:
        return encoder.token_ids([text])[0]
    except Exception:  # noqa: BLE001 - tokenizers raise Exception itself
        return None


def odd_texts(subject: Subject) -> Finding:
    """Every text has a vector: an empty one, an invisible one, one that is no Unicode."""
    bad = list(_failing(subject.encoder, ODD.items()))
    if bad:
        detail = f"no vector for {', '.join(bad[:4])}"
        remedy = (
            "give the backbone's tokenizer an unknown token or bytes to fall back to, look for "
            "damaged rows in its embeddings, or keep such texts from the model"
        )
        return problem(detail, remedy, failed=len(bad))
    return sound(f"{len(ODD)} odd texts have a vector of length 1", failed=0)


def _failing(encoder: TransformerEncoder, texts: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, text in texts:
        try:
            (vector,) = encoder.encode([text], "")
            fine = bool(abs(np.linalg.norm(vector) - 1) < 1e-3)
        except Exception:  # noqa: BLE001 - whatever it is, this text has no vector
            fine = False
        if not fine:
            yield name


def context(subject: Subject) -> Finding:
    """Text within the length counts to its end, and text beyond it does not."""
    encoder = subject.encoder
    kept, text = _cut(encoder)
    texts = [text, f"{text} and much more besides", f"{kept[:-12]} QXJ 0987 ZW{text[len(kept) :]}"]
    base, beyond, within = encoder.encode(texts, "")
    first = encoder.encode([f"QXJ 0987 ZW {text}"], "")[0]
    moved = {
        "beyond": float(np.abs(base - beyond).max()),
        "within": float(np.abs(base - within).max()),
        "at_its_start": float(np.abs(base - first).max()),
    }
    tokens = len(encoder.token_ids([text])[0])
    most = encoder.spec.max_length + len(encoder.token_ids([""])[0])
    figures = moved | {"tokens": tokens, "most": most}
    detail = (
        f"{tokens} of at most {most} tokens; a change beyond moves a vector by "
        f"{moved['beyond']:.0e}, at the end of what is kept by {moved['within']:.0e}"
    )
    right = moved["beyond"] == 0 < min(moved["within"], moved["at_its_start"])
    if right and most - _SLACK <= tokens <= most:
        return sound(detail, **figures)
    remedy = (
        f"check pooling and max_length in {MODEL_FILE}: 'cls' on a decoder, for one, sees no text "
        f"at all; then {_TOKENIZER}"
    )
    return problem(detail, remedy, **figures)


def _cut(encoder: TransformerEncoder) -> tuple[str, str]:
    """Return a text of more tokens than are kept, and before it the part that is kept."""
    length, text = encoder.spec.max_length, ""
    while True:
        text += " ".join(
            f"Line {line} says {line * line}." for line in range(len(text), len(text) + 99)
        )
        alone = encoder.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        if len(alone["input_ids"]) > length + 64:
            return text[: alone["offset_mapping"][length - 1][1]], text
