"""The check that no text that a model is measured with is in what it is trained on.

Three looks at the texts, from certain to suspicious: the same but for case and white space, nearly
the same words (:mod:`pipeline.sketches`), the same vector. And one at where they come from: no
training pair has a text from a held-out document.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from pipeline.config import DomainConfig
from pipeline.errors import LeakageError
from pipeline.gold import GoldPair
from pipeline.records import Document, LabeledPair, Pair, Record, text_id
from pipeline.registered import Text
from pipeline.sentences import first_and_rest, lead
from pipeline.sketches import Hashes, jaccard, layout_for, shingled, sketched

if TYPE_CHECKING:
    from pipeline.encoder import Encoder

log = logging.getLogger(__name__)

Check = Literal["document", "exact", "near_duplicate", "embedding"]
CHECKS: Final[tuple[Check, ...]] = ("document", "exact", "near_duplicate", "embedding")
EXAMPLES: Final = 5
VIEW_WORDS: Final = 30  # length of the views of a document that searching is measured with
_AT_ONCE: Final = 1_024
_SHOWN: Final = 80

Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Leak(Record):
    """Two texts, or a text and a document, that must not meet."""

    check: Check
    trained: str
    trained_in: str
    measured: str
    measured_in: str
    similarity: float


class Report(NamedTuple):
    """How many training and measuring texts were compared, and what was found."""

    trained: int
    measured: int
    found: Counter[Check]
    examples: tuple[Leak, ...]  # the first few of each check

    def plus(self, leaks: Iterable[Leak]) -> Report:
        """Return the report with more leaks in it."""
        found, examples = Counter(self.found), list(self.examples)
        for leak in leaks:
            found[leak.check] += 1
            if found[leak.check] <= EXAMPLES:
                examples.append(leak)
        return self._replace(found=found, examples=tuple(examples))

    def summary(self, *, allowed: bool) -> dict[str, Any]:
        """Return the report as JSON-like data, for a stage's summary and the dataset card."""
        return {
            "trained_texts": self.trained,
            "measured_texts": self.measured,
            "found": {check: self.found[check] for check in CHECKS},
            "allowed": allowed,
            "examples": [leak.model_dump() for leak in self.examples],
        }


NOTHING: Final = Report(0, 0, Counter(), ())


class Held:
    """Distinct texts, ready to be held against others."""

    def __init__(self, rows: Iterable[Text], near_duplicate: float) -> None:
        self.texts: dict[str, Text] = {}
        for row in rows:
            self.texts.setdefault(text_id(row.text), row)
        self._rows = list(self.texts.values())
        self._threshold, self._layout = near_duplicate, layout_for(near_duplicate)
        parts = shingled([row.text for row in self._rows])
        self._sets = parts.sets()
        bands = sketched(parts, self._layout)
        self._orders = np.argsort(bands, axis=1, kind="stable")
        self._bands = np.take_along_axis(bands, self._orders, axis=1)

    def same_texts(self, measured: Iterable[Text]) -> Iterator[Leak]:
        """Yield every text held here that is, exactly or nearly, one of ``measured``."""
        remaining = iter(measured)
        while batch := list(islice(remaining, _AT_ONCE)):
            parts = shingled([row.text for row in batch])
            sets = parts.sets()
            keys = [text_id(row.text) for row in batch]
            for key, row in zip(keys, batch, strict=True):
                if key in self.texts:
                    yield _leak("exact", self.texts[key], row, 1.0)
            for own, other in self._candidates(sketched(parts, self._layout)):
                trained, similarity = self._rows[own], jaccard(self._sets[own], sets[other])
                if similarity >= self._threshold and text_id(trained.text) != keys[other]:
                    yield _leak("near_duplicate", trained, batch[other], similarity)

    def _candidates(self, bands: Hashes) -> list[tuple[int, int]]:
        """Return the pairs of a row here and a column of ``bands`` that agree in a band."""
        pairs: set[tuple[int, int]] = set()
        for order, own, others in zip(self._orders, self._bands, bands, strict=True):
            first = np.searchsorted(own, others, "left")
            last = np.searchsorted(own, others, "right")
            for column in np.flatnonzero(last > first).tolist():
                rows = order[first[column] : last[column]].tolist()
                pairs |= {(row, column) for row in rows}
        return sorted(pairs, key=lambda pair: pair[::-1])


class Trained(Held):
    """The distinct texts of training pairs, and the documents that they come from."""

    def __init__(self, pairs: Iterable[Pair | LabeledPair], near_duplicate: float) -> None:
        rows: list[Text] = []
        self.documents: dict[str, Text] = {}
        for pair in pairs:
            for text, document, name in (
                (pair.sentence1, pair.document1, pair.name1),
                (pair.sentence2, pair.document2, pair.name2),
            ):
                rows.append(Text(text, f"training pair {pair.id} ({name or document})"))
                self.documents.setdefault(document, rows[-1])
        super().__init__(rows, near_duplicate)

    def from_documents(self, documents: Iterable[Document]) -> Iterator[Leak]:
        """Yield the held-out documents that gave a text to a training pair."""
        for document in documents:
            if document.id in self.documents:
                row = Text(document.text, f"held-out document {document.name!r}")
                yield _leak("document", self.documents[document.id], row, 1.0)


def same_vectors(
    trained: tuple[Sequence[Text], Vectors],
    measured: tuple[Sequence[Text], Vectors],
    cosine: float,
) -> Iterator[Leak]:
    """Yield each measuring text's nearest training text if their cosine is at least ``cosine``.

    Vectors have the shape (texts, dimensions). Their mean, which says what all texts share, is
    taken off first: cosines of a language model's states are near 1 without that (Mu and Viswanath,
    "All-but-the-Top", 2018). Equal texts are not told again.
    """
    if not len(trained[0]):
        return
    mean = trained[1].mean(axis=0)
    own_vectors = _unit(trained[1] - mean)
    for start in range(0, len(measured[0]), _AT_ONCE):
        products = _unit(measured[1][start : start + _AT_ONCE] - mean) @ own_vectors.T
        nearest = products.argmax(axis=1)
        for row in np.flatnonzero(products.max(axis=1) >= cosine).tolist():
            own, other = trained[0][nearest[row]], measured[0][start + row]
            if text_id(own.text) != text_id(other.text):
                yield _leak("embedding", own, other, float(products[row, nearest[row]]))


def alike(
    trained: Trained, measured: Iterable[Text], encoder: Encoder, cosine: float
) -> Iterator[Leak]:
    """Yield training texts with nearly the vector, by ``encoder``, of one of ``measured``."""
    own = list(trained.texts.values())
    others = list({row.text: row for row in measured}.values())
    if own and others:
        vectors = encoder.encode([row.text for row in own], "encode training texts")
        asked = encoder.encode([row.text for row in others], "encode measuring texts")
        yield from same_vectors((own, vectors), (others, asked), cosine)


def held_out(batches: Iterable[Sequence[Document]]) -> list[Document]:
    """Return the documents that are not for training."""
    return [document for batch in batches for document in batch if document.split != "train"]


def views(documents: Iterable[Document]) -> Iterator[Text]:
    """Yield the texts by which documents measure: whole, beginning, first sentence, rest."""
    for document in documents:
        first, rest = first_and_rest(document.text, VIEW_WORDS)
        views = (document.text, lead(document.text, VIEW_WORDS), lead(first, VIEW_WORDS), rest)
        for text in dict.fromkeys(view for view in views if view):
            yield Text(text, f"held-out document {document.name!r}")


def gold_texts(pairs: Iterable[GoldPair]) -> Iterator[Text]:
    """Yield the texts of gold pairs."""
    for pair in pairs:
        for text in (pair.sentence1, pair.sentence2):
            yield Text(text, f"{pair.split} gold pair {pair.id}")


def check(trained: Trained, documents: Sequence[Document], others: Iterable[Text]) -> Report:
    """Return what of ``documents`` (held out) and of ``others`` is in training."""
    counted = Counter[str]()

    def measured() -> Iterator[Text]:
        for text in chain(views(documents), others):
            counted["texts"] += 1
            yield text

    leaks = chain(trained.from_documents(documents), trained.same_texts(measured()))
    found = NOTHING.plus(leaks)
    return found._replace(trained=len(trained.texts), measured=counted["texts"])


def refuse(report: Report, config: DomainConfig) -> None:
    """Stop the run when there is leakage that the configuration does not allow.

    Raises:
        LeakageError: names an example, where both texts are, and what to do.
    """
    passed = set() if config.leakage.embedding == "stop" else {"embedding"}
    leaks = [leak for leak in report.examples if leak.check not in passed]
    count = sum(report.found[check] for check in CHECKS if check not in passed)
    if not leaks:
        return
    leak = leaks[0]
    texts = f"the text {_short(leak.measured)!r} of {leak.measured_in}"
    kind = _WORDS[leak.check].format(_short(leak.trained), leak.similarity)
    found = f"{texts} {kind} {leak.trained_in}{f' ({count} such overlaps)' if count > 1 else ''}"
    if not config.allow_leakage:
        message = (
            f"{found}. What measures must never train: run again from clean, mend the evaluation "
            "set, or write `allow_leakage: true` in the domain file"
        )
        raise LeakageError(message)
    log.warning("leakage is allowed: %s", found)


_WORDS: Final[dict[Check, str]] = {
    "document": "gave {0!r} to",
    "exact": "is in",
    "near_duplicate": "is nearly (Jaccard {1:.2f}) {0!r} of",
    "embedding": "has the vector (cosine {1:.4f}) of {0!r} of",
}


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return units


def _leak(check: Check, trained: Text, measured: Text, similarity: float) -> Leak:
    return Leak(
        check=check, trained=trained.text, trained_in=trained.where, measured=measured.text,
        measured_in=measured.where, similarity=similarity,
    )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
