"""Sets of one's own through MTEB: its figures are ours, its files are its own, it stays at home."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.config import CHECKOUT
from pipeline.encoder import cosine
from pipeline.errors import InputError, ResourceError
from pipeline.evaluation import binary, metrics, mteb_run
from pipeline.evaluation.items import Item, ItemSet
from pipeline.evaluation.mteb_run import MtebScore, Request
from pipeline.evaluation.sets import PairSet
from tests.evaluation.mteb_sets import Hashed, duplicates, graded, labelled, search

EXACT = 1e-6
ROUNDED = 6e-6  # MTEB rounds figures of a search to five digits
ALL = (graded(), duplicates(), search(), labelled())
REVISION = "hashed-1"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mteb")


@pytest.fixture(scope="module")
def scores(out: Path) -> dict[str, MtebScore]:
    """Every kind of private set, measured once for all tests below."""
    found = mteb_run.run(Request(Hashed(), "acme/hashed", ALL), out)
    return {score.task: score for score in found}


def stored(score: MtebScore) -> dict[str, Any]:
    (row,) = json.loads(score.file.read_text(encoding="utf-8"))["scores"]["test"]
    return dict(row)


def cosines(pairs: PairSet) -> np.ndarray[Any, np.dtype[np.float64]]:
    left, right = (Hashed().encode([pair[side] for pair in pairs.pairs]) for side in (0, 1))
    return cosine(left, right)


def test_every_set_becomes_the_tasks_of_its_kind(scores: dict[str, MtebScore], out: Path) -> None:
    assert {name: score.kind for name, score in scores.items()} == {
        "orders-STS": "STS",
        "tickets-PairClassification": "PairClassification",
        "manual-Retrieval": "Retrieval",
        "intents-Classification": "Classification",
        "intents-Clustering": "Clustering",
    }
    for name, score in scores.items():
        assert score.file == out / "results" / "acme__hashed" / REVISION / f"{name}.json"
        assert score.value == pytest.approx(stored(score)["main_score"], abs=EXACT)
        assert not score.known


def test_mteb_finds_our_correlations(scores: dict[str, MtebScore]) -> None:
    gold, found = np.array([pair.score for pair in graded().pairs]), cosines(graded())
    assert 0.02 < abs(metrics.spearman(gold, found)) < 0.98
    assert scores["orders-STS"].value == pytest.approx(metrics.spearman(gold, found), abs=EXACT)
    row = stored(scores["orders-STS"])
    assert row["cosine_pearson"] == pytest.approx(metrics.pearson(gold, found), abs=EXACT)
    assert row["spearman"] == pytest.approx(row["cosine_spearman"], abs=EXACT)


def test_mteb_finds_our_figures_of_duplicates(scores: dict[str, MtebScore]) -> None:
    labels, found = np.array([pair.score for pair in duplicates().pairs]), cosines(duplicates())
    expected = binary.average_precision(labels, found)
    assert 0.4 < expected < 0.999
    assert scores["tickets-PairClassification"].value == pytest.approx(expected, abs=EXACT)
    row = stored(scores["tickets-PairClassification"])
    assert row["cosine_f1"] == pytest.approx(binary.best_f1(labels, found).f1, abs=EXACT)
    assert row["similarity_ap"] == pytest.approx(expected, abs=EXACT)


def test_mteb_finds_our_figures_of_a_search_with_grades_and_rows_left_out(
    scores: dict[str, MtebScore],
) -> None:
    given, places = search(), found_by_us()
    expected = float(metrics.ndcg(places, given.relevant).mean())
    assert 0.3 < expected < 0.99
    row = stored(scores["manual-Retrieval"])
    assert row["main_score"] == pytest.approx(expected, abs=ROUNDED)
    mrr = metrics.reciprocal_rank(places, given.relevant).mean()
    assert row["mrr_at_10"] == pytest.approx(mrr, abs=EXACT)
    for depth in (1, 10, 20):
        found = metrics.recall(places, given.relevant, depth).mean()
        assert row[f"recall_at_{depth}"] == pytest.approx(found, abs=ROUNDED)


def test_mteb_finds_our_figures_of_each_query(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline.evaluation.mteb_tasks import PrivateRetrieval  # noqa: PLC0415 - imports mteb

    seen: dict[str, dict[str, float]] = {}

    def keep(_: object, by_query: dict[str, dict[str, float]], *__: object, **___: object) -> Any:
        seen.update(by_query)
        return {}

    monkeypatch.setattr(PrivateRetrieval, "task_specific_scores", keep)
    mteb_run.run(Request(Hashed(), "hashed", [search()]), tmp_path)
    given, places = search(), found_by_us()
    with_all = found_by_us(left_out=False)
    assert (metrics.ndcg(places, given.relevant) != metrics.ndcg(with_all, given.relevant)).any()
    for name, ours in (
        ("ndcg_cut_10", metrics.ndcg(places, given.relevant)),
        ("recall_10", metrics.recall(places, given.relevant)),
        ("recall_20", metrics.recall(places, given.relevant, 20)),
    ):
        theirs = [seen[f"q{row}"][name] for row in range(len(given.queries))]
        assert np.allclose(ours, theirs, rtol=0, atol=EXACT)


def found_by_us(*, left_out: bool = True) -> metrics.Places:
    given, encoder = search(), Hashed()
    vectors = encoder.encode(given.queries), encoder.encode(given.corpus)
    return metrics.search(*vectors, 20, given.excluded if left_out else None)


def test_classification_is_that_of_the_plain_procedure(scores: dict[str, MtebScore]) -> None:
    given, encoder = labelled(), Hashed()
    learn, test = (encoder.encode([i.text for i in part]) for part in (given.train, given.test))
    labels, gold = ([item.label for item in part] for part in (given.train, given.test))
    order, found = list(range(len(labels))), []
    for _ in range(10):
        np.random.RandomState(42).shuffle(order)
        chosen = [row for place, row in enumerate(order)
                  if [labels[o] for o in order[:place]].count(labels[row]) < 8]  # fmt: skip
        model = LogisticRegression(max_iter=100, random_state=42)
        model.fit(learn[chosen], [labels[row] for row in chosen])
        found.append(float(np.mean(model.predict(test) == np.array(gold))))
    assert scores["intents-Classification"].value == pytest.approx(np.mean(found), abs=EXACT)


def test_clustering_tells_classes_from_noise(scores: dict[str, MtebScore], tmp_path: Path) -> None:
    given = labelled()
    drawn = random.Random(3)
    shuffled = ItemSet("noise", *(
        tuple(Item(item.text, drawn.choice(("a", "b", "c"))) for item in part)
        for part in (given.train, given.test)
    ))  # fmt: skip
    found = mteb_run.run(Request(Hashed(), "hashed", [shuffled]), tmp_path)
    assert scores["intents-Clustering"].value > 0.7
    assert {score.kind: score.value for score in found}["Clustering"] < 0.3


def test_mteb_reads_the_results_back(scores: dict[str, MtebScore], out: Path) -> None:
    import mteb  # noqa: PLC0415 - seconds

    (model,) = mteb.ResultCache(out).load_results().model_results
    assert (model.model_name, model.model_revision) == ("acme/hashed", REVISION)
    read = {result.task_name: result.get_score() for result in model.task_results}
    assert read == {name: pytest.approx(score.value, abs=EXACT) for name, score in scores.items()}
    described = json.loads(
        (next(iter(scores.values())).file.parent / "model_meta.json").read_text()
    )
    assert (described["name"], described["embed_dim"]) == ("acme/hashed", 24)
    table = mteb.ResultCache(out).load_results().to_dataframe()
    assert set(table["task_name"]) == set(scores)


@pytest.mark.usefixtures("scores")
def test_what_was_measured_is_read(out: Path) -> None:
    encoder = Hashed()
    found = mteb_run.run(Request(encoder, "acme/hashed", ALL), out)
    assert all(score.known for score in found)
    assert encoder.encoded == 0


def test_other_data_or_another_model_is_measured_anew(tmp_path: Path) -> None:
    (first,) = mteb_run.run(Request(Hashed(), "hashed", [graded()]), tmp_path)
    (data,) = mteb_run.run(Request(Hashed(), "hashed", [graded(pairs=39)]), tmp_path)
    (model,) = mteb_run.run(Request(Hashed("other"), "hashed", [graded(pairs=39)]), tmp_path)
    assert not (first.known or data.known or model.known)
    assert data.value != first.value
    assert model.file.parent.name == "other"


def test_results_that_are_damaged_are_measured_anew(tmp_path: Path) -> None:
    request = Request(Hashed(), "hashed", [graded()])
    (first,) = mteb_run.run(request, tmp_path)
    whole = first.file.read_bytes()
    first.file.write_bytes(whole[: len(whole) // 2])
    (again,) = mteb_run.run(request, tmp_path)
    assert not again.known
    assert again.value == first.value
    assert json.loads(first.file.read_text(encoding="utf-8"))["task_name"] == "orders-STS"


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        ("STSBenchmrk", "did you mean.*STSBenchmark"),
        ("nothing like it at all", "mteb.get_tasks"),
        ("VOC2007", "needs image"),
    ],
)
def test_names_are_looked_up_before_anything_is_encoded(
    task: str, hint: str, tmp_path: Path
) -> None:
    encoder = Hashed()
    with pytest.raises(InputError, match=hint):
        mteb_run.run(Request(encoder, "hashed", [graded(), task]), tmp_path)
    assert encoder.encoded == 0


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two tasks are called orders-STS"):
        mteb_run.check_names([graded(), graded(pairs=20)], tmp_path)


def test_a_benchmark_stands_for_its_tasks(tmp_path: Path) -> None:
    mteb_run.check_names(["STSBenchmark", "MTEB(eng, v2)"][1:], tmp_path)
    with pytest.raises(InputError, match="two tasks are called STSBenchmark"):
        mteb_run.check_names(["STSBenchmark", "MTEB(eng, v2)"], tmp_path)


def test_a_public_task_without_a_network_says_so(tmp_path: Path) -> None:
    encoder = Hashed()
    with pytest.raises(InputError, match=r"cannot load the MTEB task STSBenchmark .* network"):
        mteb_run.run(Request(encoder, "hashed", [graded(), "STSBenchmark"]), tmp_path)
    assert list(tmp_path.rglob("orders-STS.json"))  # what ended before is kept


def test_without_mteb_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ResourceError, match=r"pip install 'angle-adapt\[mteb\]'"):
        mteb_run.run(Request(Hashed(), "hashed", [graded()]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


OFFLINE = """
import logging, os, socket, sys
from pathlib import Path

real = socket.socket.connect

def connect(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith("127."):
        print("NETWORK", address, flush=True)
        raise OSError(101, "no network here")
    return real(self, address)

def resolve(host, *args, **options):
    print("NETWORK", host, flush=True)
    raise socket.gaierror(-3, "no name service here")

socket.socket.connect = connect
socket.getaddrinfo = resolve
assert "HF_HUB_OFFLINE" not in os.environ
logging.basicConfig(level=logging.INFO, format="%(name)s", stream=sys.stdout)
sys.path.insert(0, sys.argv[2])
from tests.evaluation.mteb_sets import Hashed, duplicates, graded, labelled, search
from pipeline.evaluation import mteb_run
from pipeline.evaluation.mteb_run import Request

sets = [graded(), duplicates(), search(), labelled()]
for score in mteb_run.run(Request(Hashed(), "acme/hashed", sets), Path(sys.argv[1])):
    print("SCORE", score.task, f"{score.value:.9f}")
"""


def test_private_sets_need_no_network_and_write_nowhere_else(
    scores: dict[str, MtebScore], tmp_path: Path
) -> None:
    """In a process of its own: libraries read the environment when they are imported."""
    home = tmp_path / "home"
    home.mkdir()
    silent = {"HF_HUB_OFFLINE", "HF_HOME", "MTEB_CACHE", "XDG_CACHE_HOME", "HF_DATASETS_OFFLINE"}
    environment = {key: value for key, value in os.environ.items() if key not in silent}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE, str(tmp_path / "out"), str(CHECKOUT)],
        env=environment | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "NETWORK" not in ran.stdout
    found = [line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("SCORE")]
    assert {name: float(value) for name, value in found} == {
        name: pytest.approx(score.value, abs=EXACT) for name, score in scores.items()
    }
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []
    assert ran.stderr == ""  # no bars, no warnings
    assert {line for line in ran.stdout.splitlines() if " " not in line} == {mteb_run.__name__}
