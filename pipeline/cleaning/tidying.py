"""From a document as it was collected to pieces that are usable or not, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pipeline.cleaning.boilerplate import CommonLines, LineCounts, strip
from pipeline.cleaning.chunking import chunks
from pipeline.cleaning.normalise import normalise
from pipeline.cleaning.personal_data import masking
from pipeline.cleaning.rules import refusal
from pipeline.cleaning.spool import Piece
from pipeline.records import Document, text_id
from pipeline.sections import CleanSettings


def common_lines(documents: Iterable[Document], settings: CleanSettings) -> CommonLines:
    """Return the lines that sites repeat; reads ``documents`` only when such lines are removed."""
    if settings.boilerplate_share >= 1:
        return CommonLines.none()
    counts = LineCounts()
    for document in documents:
        counts.add(document)
    return counts.common(settings)


class Tidier:
    """Makes pieces of documents, and counts what it changed."""

    def __init__(self, settings: CleanSettings, common: CommonLines) -> None:
        self.documents = 0
        self.boilerplate_lines = 0
        self.masked: Counter[str] = Counter()
        self._settings, self._common = settings, common
        self._hide = masking(settings)

    def pieces(self, document: Document) -> Iterator[Piece]:
        """Yield the pieces of ``document``: itself or its chunks, never none."""
        self.documents += 1
        stripped, removed = strip(document, self._common, self._settings)
        self.boilerplate_lines += removed
        if removed and not stripped.text.strip():
            whole = document.model_copy(update={"id": text_id(document.text)})
            yield Piece(whole, "boilerplate", f"{removed} lines")
            return
        for part in chunks(stripped, self._settings):
            yield self._piece(part)

    def _piece(self, part: Document) -> Piece:
        text, found = self._hide(normalise(part.text))
        self.masked += found
        tidy = part.model_copy(update={"id": text_id(text), "text": text})
        refused = refusal(part.text, text, self._settings)
        return Piece(tidy, refused.reason, refused.detail) if refused else Piece(tidy)
