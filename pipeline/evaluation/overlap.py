"""The check that nothing the model is measured with was in its training data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.errors import LeakageError
from pipeline.gold import GoldPair
from pipeline.records import Document, LabeledPair, text_id

_SHOWN: Final = 80


def check(
    gold: Sequence[GoldPair], documents: Iterable[Document], trained: Sequence[LabeledPair]
) -> dict[str, int]:
    """Return how many texts and documents were checked, none of them found in ``trained``.

    ``documents`` are those that retrieval is measured with. Texts are compared as
    :func:`pipeline.records.normalised`, so case and white space hide nothing.

    Raises:
        LeakageError: names an example and where it stands on both sides.
    """
    texts = {text_id(text): pair for pair in trained for text in (pair.sentence1, pair.sentence2)}
    places = {place: pair for pair in trained for place in (pair.document1, pair.document2)}
    leaked = [_gold_leak(pair, text, texts[text_id(text)]) for pair in gold
              for text in (pair.sentence1, pair.sentence2) if text_id(text) in texts]  # fmt: skip
    held_out = {document.id: document for document in documents}
    leaked += [
        _document_leak(document, places[key]) for key, document in held_out.items() if key in places
    ]
    if leaked:
        more = f" ({len(leaked)} such overlaps)" if len(leaked) > 1 else ""
        advice = "Evaluation text must never train: run again from clean, or mend the gold file."
        message = f"{leaked[0]}{more}. {advice}"
        raise LeakageError(message)
    return {"checked": 2 * len(gold) + len(held_out), "found": 0}


def _gold_leak(pair: GoldPair, text: str, training: LabeledPair) -> str:
    where = f"training pair {training.id} ({training.name1 or training.document1})"
    return f"the text {_short(text)!r} of {pair.split} gold pair {pair.id} is in {where}"


def _document_leak(document: Document, training: LabeledPair) -> str:
    return f"retrieval document {document.name!r} gave a text to training pair {training.id}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
