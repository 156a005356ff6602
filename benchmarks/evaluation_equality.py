"""Our figures beside those of sentence-transformers and of MTEB, on the same vectors."""

from __future__ import annotations

import importlib.util
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks._record import Figure, Measurement
from pipeline.encoder import Vectors, cosine
from pipeline.errors import ResourceError
from pipeline.evaluation import binary, metrics
from pipeline.evaluation.sets import PairSet, SearchSet, SetPair

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On the same vectors, Spearman's ρ, Pearson's r, average precision, best F1 and its threshold, "
    "nDCG@10, MRR@10 and Recall@k are those of sentence-transformers' evaluators and of MTEB to "
    "six decimals (nDCG and Recall of MTEB to the five that it keeps)."
)
PAIRS: Final = 4_000
TEXTS: Final = 5_000
QUERIES: Final = 500
QUICK: Final = 10  # times smaller
DIMENSIONS: Final = 64
DEPTH: Final = 100
MTEB_DIGITS: Final = 5
MTEB_ROUNDS: Final = ("nDCG", "Recall")
SEED: Final = 19


class Given(NamedTuple):
    """Sets with the vector of every text; relevance in grades, and in yes or no."""

    graded: PairSet
    duplicates: PairSet
    search: SearchSet
    vectors: Mapping[str, Vectors]


class Looked:
    """An encoder that knows its texts."""

    identity = "looked-up"

    def __init__(self, vectors: Mapping[str, Vectors]) -> None:
        self._vectors = vectors

    def encode(self, texts: Sequence[str], label: str = "") -> Vectors:  # noqa: ARG002
        """Return the vectors of ``texts``, shape (texts, dimensions)."""
        return np.stack([self._vectors[text] for text in texts])


def measure(*, quick: bool) -> Measurement:
    """Compare with each package that is installed; ``quick`` on sets of a tenth of the size.

    Raises:
        ResourceError: when none of them is.
    """
    given = sets(QUICK if quick else 1)
    ours = _ours(given)
    figures: list[Figure] = []
    for name, compare in {"sentence_transformers": _sentence_transformers, "mteb": _mteb}.items():
        if importlib.util.find_spec(name) is None:
            log.warning("not compared with %s: pip install 'angle-adapt[dev]'", name)
            continue
        for measured, value in compare(given).items():
            rounds = name == "mteb" and measured.startswith(MTEB_ROUNDS)
            own = round(ours[measured], MTEB_DIGITS) if rounds else ours[measured]
            apart = 1e6 * abs(value - own)
            figures.append(Figure.of(f"{name}: {measured}", own, ""))
            figures.append(Figure.of(f"{name}: {measured}, apart in 1e-6", apart, "", "<=", 1))
    if not figures:
        message = "nothing to compare with: pip install 'angle-adapt[dev]'"
        raise ResourceError(message)
    return Measurement(tuple(figures), SEED)


def sets(smaller: int) -> Given:
    """Return sets of random texts whose vectors are as alike as their scores say, with noise."""
    draw = np.random.default_rng(SEED)
    vectors: dict[str, Vectors] = {}
    scores = draw.integers(0, 26, PAIRS // smaller) / 25
    pairs = []
    for number, score in enumerate(scores):
        left, noise = draw.normal(size=(2, DIMENSIONS))
        names = f"left {number}", f"right {number}"
        vectors |= zip(names, (_unit(left), _unit(score * left + noise)), strict=True)
        pairs.append(SetPair(*names, float(score)))
    same = tuple(pair._replace(score=float(pair.score > 0.6)) for pair in pairs)
    return Given(
        PairSet("graded", "domain", "graded", tuple(pairs)),
        PairSet("duplicates", "domain", "binary", same),
        _search(draw, vectors, smaller),
        vectors,
    )


def _search(draw: np.random.Generator, vectors: dict[str, Vectors], smaller: int) -> SearchSet:
    corpus = tuple(f"text {row}" for row in range(TEXTS // smaller))
    queries = tuple(f"query {row}" for row in range(QUERIES // smaller))
    vectors |= {text: _unit(draw.normal(size=DIMENSIONS)) for text in corpus}
    relevant: list[dict[int, int]] = []
    for query in queries:
        rows = draw.choice(len(corpus), size=draw.integers(1, 15), replace=False).tolist()
        relevant.append({row: int(draw.integers(1, 4)) for row in rows})
        near = sum(vectors[corpus[row]] * grade for row, grade in relevant[-1].items())
        vectors[query] = _unit(near + 0.4 * draw.normal(size=DIMENSIONS))
    return SearchSet("search", "domain", queries, corpus, tuple(relevant))


def _unit(vector: Any) -> Vectors:  # noqa: ANN401 - an array of any precision
    unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _ours(given: Given) -> dict[str, float]:
    encoder = Looked(given.vectors)
    gold, cosines = _cosines(given.graded, encoder)
    labels, alike = _cosines(given.duplicates, encoder)
    best = binary.best_f1(labels, alike)
    queries, corpus = (encoder.encode(some) for some in (given.search.queries, given.search.corpus))
    found, graded = metrics.search(queries, corpus, DEPTH), given.search.relevant
    either = [dict.fromkeys(wanted, 1) for wanted in graded]
    searched = {
        "nDCG@10, graded": metrics.ndcg(found, graded),
        "nDCG@10": metrics.ndcg(found, either),
        "MRR@10": metrics.reciprocal_rank(found, graded),
        "Recall@10": metrics.recall(found, graded, 10),
        "Recall@100": metrics.recall(found, graded, 100),
    }
    return {
        "Spearman's ρ": metrics.spearman(gold, cosines),
        "Pearson's r": metrics.pearson(gold, cosines),
        "average precision": binary.average_precision(labels, alike),
        "best F1": best.f1,
        "threshold of the best F1": best.threshold,
    } | {name: float(values.mean()) for name, values in searched.items()}


def _cosines(pairs: PairSet, encoder: Looked) -> tuple[metrics.Floats, metrics.Floats]:
    left = encoder.encode([pair.sentence1 for pair in pairs.pairs])
    right = encoder.encode([pair.sentence2 for pair in pairs.pairs])
    return np.array([pair.score for pair in pairs.pairs]), cosine(left, right)


class _Model:
    """What sentence-transformers' evaluators ask of a model."""

    similarity_fn_name = "cosine"
    model_card_data = SimpleNamespace(set_evaluation_metrics=lambda *_: None)

    def __init__(self, encoder: Looked) -> None:
        self._encoder = encoder

    def encode(self, texts: Sequence[str], *, convert_to_tensor: bool = False, **_: object) -> Any:  # noqa: ANN401 - as asked for
        import torch  # noqa: PLC0415 - the evaluators imported it

        found = self._encoder.encode(texts)
        return torch.from_numpy(found) if convert_to_tensor else found

    encode_query = encode_document = encode


def _sentence_transformers(given: Given) -> dict[str, float]:
    from sentence_transformers import util  # noqa: PLC0415 - optional, and slow
    from sentence_transformers.sentence_transformer import evaluation  # noqa: PLC0415

    model: Any = _Model(Looked(given.vectors))
    graded: Any = zip(*given.graded.pairs, strict=True)
    left, right, scores, _ = map(list, graded)
    found = evaluation.EmbeddingSimilarityEvaluator(left, right, scores, write_csv=False)(model)
    labels = [int(pair.score) for pair in given.duplicates.pairs]
    found |= evaluation.BinaryClassificationEvaluator(left, right, labels, write_csv=False)(model)
    queries: Any = {str(row): text for row, text in enumerate(given.search.queries)}
    corpus: Any = {str(row): text for row, text in enumerate(given.search.corpus)}
    relevant = {str(q): {str(row) for row in rows} for q, rows in enumerate(given.search.relevant)}
    found |= evaluation.InformationRetrievalEvaluator(
        queries, corpus, relevant, precision_recall_at_k=[10, 100], write_csv=False,
        score_functions={"cosine": util.cos_sim},
    )(model)  # fmt: skip
    return {
        "Spearman's ρ": found["spearman_cosine"],
        "Pearson's r": found["pearson_cosine"],
        "average precision": found["cosine_ap"],
        "best F1": found["cosine_f1"],
        "threshold of the best F1": found["cosine_f1_threshold"],
        "nDCG@10": found["cosine_ndcg@10"],
        "MRR@10": found["cosine_mrr@10"],
        "Recall@10": found["cosine_recall@10"],
        "Recall@100": found["cosine_recall@100"],
    }


def _mteb(given: Given) -> dict[str, float]:
    from pipeline.evaluation import mteb_run  # noqa: PLC0415 - optional, and slow

    tasks = (given.graded, given.duplicates, given.search)
    with tempfile.TemporaryDirectory() as folder:
        request = mteb_run.Request(Looked(given.vectors), "local/looked-up", tasks)
        found = dict(_rows(mteb_run.run(request, Path(folder))))
    return {
        "Spearman's ρ": found["STS"]["cosine_spearman"],
        "Pearson's r": found["STS"]["cosine_pearson"],
        "average precision": found["PairClassification"]["cosine_ap"],
        "best F1": found["PairClassification"]["cosine_f1"],
        "nDCG@10, graded": found["Retrieval"]["ndcg_at_10"],
        "MRR@10": found["Retrieval"]["mrr_at_10"],
        "Recall@10": found["Retrieval"]["recall_at_10"],
        "Recall@100": found["Retrieval"]["recall_at_100"],
    }


def _rows(scores: Sequence[Any]) -> Iterator[tuple[str, dict[str, float]]]:
    for score in scores:
        (row,) = json.loads(score.file.read_text(encoding="utf-8"))["scores"]["test"]
        yield score.kind, row
