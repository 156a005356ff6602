"""Evaluation sets: scored pairs of texts, and searches with known answers, read from files.

A set of pairs is a table (CSV, TSV, JSON, JSON lines, Parquet) or a dataset of the Hugging Face Hub
(``hf://owner/name``). A search is a folder in the layout of BEIR (arXiv 2104.08663): ``corpus``,
``queries`` and ``qrels``, the last with a header and columns for query, document and relevance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pipeline import config as configuration
from pipeline import registered
from pipeline.errors import InputError
from pipeline.gold import GoldPair
from pipeline.sections import SetSettings

HUB: Final = "hf://"

Role = Literal["domain", "general"]

# Columns by what they hold; the first that a table has is read.
FIRST: Final = ("sentence1", "text1", "sentence_1", "sentence_a", "question1", "query")
SECOND: Final = ("sentence2", "text2", "sentence_2", "sentence_b", "question2", "passage")
SCORE: Final = ("score", "label", "similarity", "is_duplicate", "similarity_score")
QUERY_ID: Final = ("query-id", "query_id", "_id", "id")
DOCUMENT_ID: Final = ("corpus-id", "doc_id", "corpus_id", "_id", "id")
GRADE: Final = ("score", "relevance")
OWN_ID: Final = "self_doc_id"  # of a query that is itself a document of the corpus

Row = Mapping[str, Any]


class SetPair(NamedTuple):
    """Two texts and how similar they are, in [0, 1]; pairs of a group are measured apart too."""

    sentence1: str
    sentence2: str
    score: float
    group: str = ""


class PairSet(NamedTuple):
    """Pairs with graded scores, or with 1 for duplicates and 0 for others."""

    name: str
    role: Role
    kind: Literal["graded", "binary"]
    pairs: tuple[SetPair, ...]
    allowed_loss: float | None = None  # None: what `evaluate.allowed_loss` says

    @property
    def sides(self) -> tuple[list[str], list[str]]:
        """The first and the second text of each pair."""
        return [pair.sentence1 for pair in self.pairs], [pair.sentence2 for pair in self.pairs]

    @property
    def texts(self) -> Iterator[str]:
        """Yield every text, repeated as it comes."""
        for side in self.sides:
            yield from side


class SearchSet(NamedTuple):
    """Queries, the corpus they search, and the rows of the corpus that answer each query."""

    name: str
    role: Role
    queries: tuple[str, ...]
    corpus: tuple[str, ...]
    relevant: tuple[Mapping[int, int], ...]  # corpus row -> grade, 1 or more
    excluded: tuple[frozenset[int], ...] = ()  # rows that a query must not find; (): none
    allowed_loss: float | None = None
    groups: tuple[str, ...] = ()  # of each query, measured apart too; (): none

    @property
    def texts(self) -> Iterator[str]:
        """Yield every text, repeated as it comes."""
        yield from self.queries
        yield from self.corpus


EvaluationSet = PairSet | SearchSet


def of_gold(name: str, role: Role, pairs: Iterable[GoldPair]) -> PairSet:
    """Return pairs of a gold file as a set, by category."""
    rows = (SetPair(p.sentence1, p.sentence2, p.score, p.category) for p in pairs)
    return PairSet(name, role, "graded", tuple(rows))


def load(name: str, settings: SetSettings) -> EvaluationSet:
    """Return the evaluation set that ``settings`` describe.

    Raises:
        InputError: when it cannot be read, has no usable rows, its labels are constant, or its
            qrels name an id that is not there.
    """
    place = settings.path if settings.path.startswith(HUB) else ""
    path = configuration.resolve(settings.path)
    if not place and path.is_dir():
        return _search(name, path, settings)
    if settings.kind == "retrieval":
        message = f"evaluate.sets.{name}: a retrieval set is a folder, and {path} is none"
        raise InputError(message)
    rows = _hub(name, settings) if place else _rows(path, name)
    return _pairs(name, rows, settings)


def _pairs(name: str, rows: Iterable[Row], settings: SetSettings) -> PairSet:
    where = f"evaluate.sets.{name} ({settings.path})"
    pairs = []
    for number, row in enumerate(rows, 1):
        if settings.split and str(row.get("split", settings.split)) != settings.split:
            continue
        pairs.append(_pair(row, settings, f"{where}, row {number}"))
    scores = {pair.score for pair in pairs}
    if len(scores) < 2:
        found = "the same score" if scores else "nothing"
        split = f" of split {settings.split!r}" if settings.split else ""
        message = f"{where}: its pairs{split} hold {found}; a set needs pairs that differ in score"
        raise InputError(message)
    binary = scores == {0.0, 1.0} if settings.kind == "auto" else settings.kind == "binary"
    if binary and scores != {0.0, 1.0}:
        message = f"{where}: kind is binary, but scores other than 0 and {settings.max_score:g}"
        raise InputError(f"{message} are in it")
    kind: Literal["graded", "binary"] = "binary" if binary else "graded"
    return PairSet(name, settings.role, kind, tuple(pairs), settings.allowed_loss)


def _pair(row: Row, settings: SetSettings, where: str) -> SetPair:
    first, second, score = (_value(row, names, where) for names in (FIRST, SECOND, SCORE))
    try:
        scaled = float(score) / settings.max_score
    except (TypeError, ValueError) as error:
        message = f"{where}: the score {score!r} is no number"
        raise InputError(message) from error
    if not 0 <= scaled <= 1:
        message = f"{where}: the score {score} is not in 0 to {settings.max_score:g} (max_score)"
        raise InputError(message)
    if not (isinstance(first, str) and isinstance(second, str) and first and second):
        message = f"{where}: needs two texts"
        raise InputError(message)
    return SetPair(first, second, scaled, _group(row, settings))


def _group(row: Row, settings: SetSettings) -> str:
    return str(row.get(settings.group) or "") if settings.group else ""


def _value(row: Row, names: Sequence[str], where: str) -> Any:  # noqa: ANN401 - of any table
    for name in names:
        if name in row:
            return row[name]
    message = f"{where}: none of the columns {', '.join(names)} is there, but {', '.join(row)}"
    raise InputError(message)


def _rows(path: Path, name: str) -> Iterator[Row]:
    reader = registered.READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        known = ", ".join(registered.READERS)
        message = f"evaluate.sets.{name}: {path} is no folder and no file of {known}"
        raise InputError(message)
    try:
        yield from reader(path)
    except InputError:
        raise
    except (OSError, ValueError, AttributeError, TypeError) as error:
        message = f"evaluate.sets.{name}: cannot read {path}: {error}"
        raise InputError(message) from error


def _hub(name: str, settings: SetSettings) -> Iterator[Row]:
    import datasets  # noqa: PLC0415 - a second, only for names of the Hub

    try:
        yield from datasets.load_dataset(
            settings.path.removeprefix(HUB), split=settings.split or "test"
        )
    except (OSError, ValueError, ConnectionError) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"evaluate.sets.{name}: cannot load {settings.path}: {reason}"
        raise InputError(message) from error


def _search(name: str, folder: Path, settings: SetSettings) -> SearchSet:
    corpus = {str(_value(row, DOCUMENT_ID, f"{folder}, corpus")): _document(row)
              for row in _part(folder, "corpus", name)}  # fmt: skip
    queries = {str(_value(row, QUERY_ID, f"{folder}, queries")): row
               for row in _part(folder, "queries", name)
               if not settings.split or str(row.get("split", settings.split)) == settings.split
               }  # fmt: skip
    places = {key: place for place, key in enumerate(corpus)}
    relevant = _relevant(folder, name, settings.split, places)
    everyone = {str(_value(row, QUERY_ID, "queries")) for row in _part(folder, "queries", name)}
    unknown = sorted(set(relevant) - everyone)
    if unknown:
        raise InputError(_strange(folder, name, "query", unknown))
    asked = [key for key in queries if relevant.get(key)]
    if not asked:
        message = f"evaluate.sets.{name}: no query in {folder} has a relevant document"
        raise InputError(message)
    own = [str(queries[key].get(OWN_ID) or "") for key in asked]
    excluded = tuple(frozenset({places[key]} if key in places else ()) for key in own)
    return SearchSet(
        name,
        settings.role,
        tuple(str(_value(queries[key], ("text",), f"{folder}, queries")) for key in asked),
        tuple(corpus.values()),
        tuple(relevant[key] for key in asked),
        excluded if any(excluded) else (),
        settings.allowed_loss,
        tuple(_group(queries[key], settings) for key in asked) if settings.group else (),
    )


def _relevant(
    folder: Path, name: str, split: str, places: Mapping[str, int]
) -> dict[str, dict[int, int]]:
    """Return the grades of relevant rows of the corpus, by query; grades below 1 are none."""
    found: dict[str, dict[int, int]] = {}
    unknown: list[str] = []
    for row in _part(folder, f"qrels/{split or 'test'}", name, other="qrels"):
        query, document, grade = (
            str(_value(row, names, f"{folder}, qrels")) for names in (QUERY_ID, DOCUMENT_ID, GRADE)
        )
        if document not in places:
            unknown.append(document)
        elif float(grade) >= 1:
            found.setdefault(query, {})[places[document]] = int(float(grade))
    if unknown:
        raise InputError(_strange(folder, name, "document", unknown))
    return found


def _strange(folder: Path, name: str, what: str, unknown: Sequence[str]) -> str:
    return (
        f"evaluate.sets.{name}: the qrels of {folder} name {len(unknown):,} {what} ids that are "
        f"not there, such as {unknown[0]!r}"
    )


def _part(folder: Path, part: str, name: str, other: str = "") -> Iterator[Row]:
    for stem in (part, other) if other else (part,):
        for suffix in registered.READERS:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return _rows(path, name)
    message = (
        f"evaluate.sets.{name}: {folder} has no {part}.jsonl; a retrieval set has corpus.jsonl, "
        "queries.jsonl and qrels/test.tsv (or .csv, .parquet)"
    )
    raise InputError(message)


def _document(row: Row) -> str:
    title, text = str(row.get("title") or "").strip(), str(row.get("text") or "").strip()
    return f"{title} {text}".strip()
