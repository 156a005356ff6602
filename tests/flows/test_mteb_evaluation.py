"""A named model and named tasks, measured with MTEB."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from flows import mteb_evaluation
from pipeline import runs
from pipeline.config import CHECKOUT
from pipeline.errors import InputError
from pipeline.evaluation import mteb_run
from pipeline.runs import RunRecord
from pipeline.settings import HOME_VARIABLE
from tests.evaluation.mteb_sets import duplicates, graded, labelled, search
from tests.export import small_models


def write_sets(folder: Path) -> None:
    pairs = [pair._asdict() | {"score": pair.score * 5} for pair in graded().pairs]
    (folder / "orders.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    lines = [f"{item.text},{item.label}" for part in labelled()[1:] for item in part]
    (folder / "intents.csv").write_text("\n".join(["text,label", *lines]))
    place, given = folder / "manual", search()
    (place / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", given.corpus), ("queries", given.queries)):
        rows = [json.dumps({"_id": str(n), "text": text}) for n, text in enumerate(texts)]
        (place / f"{name}.jsonl").write_text("\n".join(rows))
    grades = [f"{query}\t{row}\t{grade}" for query, answers in enumerate(given.relevant)
              for row, grade in answers.items()]  # fmt: skip
    (place / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *grades]))


def test_a_folder_is_measured_on_every_kind_of_set(tiny_backbone: Path, tmp_path: Path) -> None:
    write_sets(tmp_path)
    tasks = [str(tmp_path / "orders.jsonl"), f"my-intents={tmp_path / 'intents.csv'}",
             str(tmp_path / "manual"), duplicates()]  # fmt: skip
    found = mteb_evaluation.run(str(tiny_backbone), tasks, tmp_path / "out", max_score=5)
    assert [score.task for score in found] == [
        "orders-STS", "my-intents-Classification", "my-intents-Clustering", "manual-Retrieval",
        "tickets-PairClassification",
    ]  # fmt: skip
    assert all(-1 <= score.value <= 1 for score in found)
    shown = mteb_evaluation.as_text(found)
    assert re.search(r"^manual-Retrieval +Retrieval +ndcg_at_10 +\d\.\d{4}$", shown, re.MULTILINE)
    assert shown.endswith(f"results in {found[0].file.parent}")
    meta = json.loads((found[0].file.parent / "model_meta.json").read_text(encoding="utf-8"))
    assert meta["name"] == f"local/{tiny_backbone.name}"
    assert meta["adapted_from"] is None


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        ("no/such.csv", "there is no file no/such.csv"),
        ("orders=no.csv", "there is no file no.csv"),
        ("STS-12", "no task or benchmark 'STS-12'"),
        ("orders=", "no task or benchmark 'orders='"),
    ],
)
def test_a_task_that_is_not_there_is_named_before_a_model_is_loaded(
    task: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(hint)):
        mteb_evaluation.run("no-such-model", [task], tmp_path)


def test_an_adapted_model_is_called_by_its_run_and_names_its_backbone(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    place = small_models.model(tmp_path / "model", tiny_backbone)
    runs.save(RunRecord(id="tiny-1", domain="tiny", started="2026", status="completed"),
              model=str(place))  # fmt: skip
    (found,) = mteb_evaluation.run("latest", [graded()], tmp_path / "out")
    meta = json.loads((found.file.parent / "model_meta.json").read_text(encoding="utf-8"))
    assert (meta["name"], meta["adapted_from"]) == ("local/tiny-1", str(tiny_backbone))
    (again,) = mteb_evaluation.run("tiny-1", [graded()], tmp_path / "out")
    assert again.known


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_sets(tmp_path)
    with pytest.raises(InputError, match="no-such-model"):
        mteb_evaluation.run("no-such-model", [str(tmp_path / "intents.csv")], tmp_path / "out")


def test_naming_the_module_imports_neither_mteb_nor_torch() -> None:
    script = (
        "import sys; import flows.mteb_evaluation, pipeline.evaluation.mteb_run, "
        "pipeline.evaluation.mteb_model; "
        "print(sorted({'mteb', 'torch', 'datasets', 'sentence_transformers'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


DOC = (CHECKOUT / "docs" / "mteb.md").read_text(encoding="utf-8")
SHOWN = [line for line in DOC.splitlines() if line.startswith("angle-adapt evaluate")]


def test_the_document_shows_what_works(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sets(tmp_path)
    rows = [{"sentence1": p.sentence1, "sentence2": p.sentence2, "score": p.score}
            for p in graded().pairs]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "orders.csv", index=False)
    monkeypatch.chdir(tmp_path)
    public, own = (re.findall(r"--mteb (\S+)", line) for line in SHOWN)
    mteb_run.check_names(public, tmp_path / "names")
    found = mteb_evaluation.run(str(tiny_backbone), own, Path("scores"))
    assert [score.kind for score in found] == ["STS", "Classification", "Clustering", "Retrieval"]
    (program,) = re.findall(r"```python\n(.*?)```", DOC, flags=re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert all(re.search(rf"^\d+ +{score.task} ", ran.stdout, re.MULTILINE) for score in found)


def test_the_document_names_what_is_there() -> None:
    assert len(SHOWN) == 2
    for path in re.findall(r"`(tests/[\w./]+)`", DOC):
        assert (CHECKOUT / path).exists()
    assert re.findall(r"python -m benchmarks (\w+)", DOC) == ["evaluation_mteb"]
