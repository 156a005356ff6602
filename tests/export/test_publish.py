"""The published dataset and model, read by the libraries other teams use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.numpy import load_file

from pipeline.artifacts import Reference
from pipeline.encoder.spec import read_description
from pipeline.export import dataset, model, rendering, stage
from pipeline.export.dataset import version_of
from pipeline.records import LabeledPair
from tests.export.conftest import change

if TYPE_CHECKING:
    from tests.export.conftest import Artifacts


def publish(artifacts: Artifacts) -> Path:
    config = artifacts.config.model_copy(update={"description": "Documentation: the | library."})
    inputs = {name: artifacts.references[name]
              for name in ("clean", "mine", "label", "curate", "train", "evaluate")}  # fmt: skip
    return artifacts.store.path(stage.run(inputs, config, artifacts.store))


@pytest.fixture(scope="module")
def published(artifacts: Artifacts) -> Path:
    return publish(artifacts)


def front_and_body(path: Path) -> tuple[dict[str, Any], str]:
    _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_pandas_reads_the_dataset_as_it_lies(artifacts: Artifacts, published: Path) -> None:
    rows = artifacts.store.rows(artifacts.references["curate"], LabeledPair)
    frame = pd.read_parquet(published / "dataset" / "data")

    assert list(frame.columns) == list(LabeledPair.model_fields)
    assert frame["sentence1"].tolist() == [row.sentence1 for row in rows]
    assert frame["score"].tolist() == [row.score for row in rows]


def test_datasets_reads_the_dataset_as_it_lies(
    artifacts: Artifacts, published: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(published / "dataset"), cache_dir=str(tmp_path))

    assert list(found) == ["train"]
    assert found["train"].num_rows == artifacts.references["curate"].rows
    assert found["train"].column_names == list(LabeledPair.model_fields)


def test_the_version_names_the_domain_and_the_content(
    artifacts: Artifacts, published: Path
) -> None:
    version = json.loads((published / "dataset" / "version.json").read_text(encoding="utf-8"))
    digest = artifacts.references["curate"].digest

    assert version["domain"] == "python-stdlib"
    assert version["version"] == f"python-stdlib@{digest[:12]}"
    assert version["upstream"]["curate"] == digest
    assert set(version["upstream"]) == {"clean", "mine", "label", "curate"}


def test_the_dataset_card_tells_machines_where_the_data_is(published: Path) -> None:
    front, _ = front_and_body(published / "dataset" / "README.md")

    assert front["license"] == "other"
    assert front["license_name"] == "psf-2.0"
    assert front["task_categories"] == ["sentence-similarity"]
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert front["pretty_name"] == "Documentation: the | library"


def test_the_dataset_card_tells_people_what_they_need(published: Path) -> None:
    _, card = front_and_body(published / "dataset" / "README.md")

    for telling in (
        "| PSF-2.0 | 20 |", "| likelihood | 0.646 | 0.576 to 0.706 | 220 |",
        "| clean | near duplicate | 198 |", "| curate | gold text | 7 |", "0.95  █",
        "| neighbours | 652 | 0.57 |", "`likelihood/smollm2-135m/v1`", "5 places were masked",
        "The 1,127 texts of these pairs were held against 2,598 texts",
    ):  # fmt: skip
        assert telling in card
    for column in LabeledPair.model_fields:
        assert f"| `{column}` |" in card


def test_every_column_of_the_dataset_is_described() -> None:
    assert list(dataset.COLUMNS) == list(LabeledPair.model_fields)


def test_the_model_is_what_training_wrote_without_the_bookkeeping(published: Path) -> None:
    assert sorted(path.name for path in (published / "model").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "angle_adapt.json"
    ]  # fmt: skip


def test_the_model_has_the_strength_that_was_chosen_and_says_so(
    artifacts: Artifacts, published: Path
) -> None:
    trained = artifacts.store.path(artifacts.references["train"])
    before, after = (
        load_file(folder / "adapter_model.safetensors") for folder in (trained, published / "model")
    )
    for name, values in before.items():
        scale = 0.75 if "lora_B" in name else 1.0
        assert after[name].tolist() == (scale * values).tolist(), name

    assert read_description(trained).strength == 1.0
    assert read_description(published / "model").strength == 0.75
    _, card = front_and_body(published / "model" / "README.md")
    assert "has strength **0.75**" in card
    assert "at 1 the general dev pairs lose" in card
    assert json.loads((published / "summary.json").read_text())["model"]["strength"] == 0.75


@pytest.mark.parametrize("strength", [None, 1.0])
def test_a_model_at_the_strength_it_was_trained_at_is_the_same_bytes(
    written: Callable[..., Artifacts], strength: float | None
) -> None:
    artifacts = written()

    def chosen(summary: dict[str, Any]) -> None:
        summary["strength"] = summary["strength"] | {"chosen": 1.0} if strength else {}

    change(artifacts, "evaluate", chosen)
    trained = artifacts.store.path(artifacts.references["train"])
    folder = publish(artifacts) / "model"

    for name in ("adapter_model.safetensors", "angle_adapt.json"):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()
    assert "has strength **1**" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_is_read_by_the_hub_library_with_the_figures_of_the_evaluation(
    artifacts: Artifacts, published: Path
) -> None:
    data = ModelCard.load(published / "model" / "README.md").data
    found = {(one.dataset_name, one.metric_type): one for one in data.eval_results or ()}
    evaluated = artifacts.store.json(artifacts.references["evaluate"])

    assert data.model_name == "python-stdlib"
    for row, metric in zip(
        evaluated["sets"],
        ("spearman_cosine", "cosine_ap", "cosine_ndcg@10", "spearman_cosine"),
        strict=True,
    ):
        figure = found.pop((f"python-stdlib: {row['name']}", metric))
        assert figure.metric_value == pytest.approx(row["found"]["adapted"], abs=1e-6)
        assert figure.task_type in {task for task, _ in model.TASKS.values()}
        assert figure.metric_name == evaluated["labels"][row["measure"]]
    assert {metric for _, metric in found} == {
        "pearson_cosine", "cosine_f1", "cosine_auroc", "cosine_mrr@10", "cosine_recall@10",
        "cosine_recall@100",
    }  # fmt: skip


def test_the_card_recommends_a_threshold_and_tells_of_general_text(
    artifacts: Artifacts, published: Path
) -> None:
    _, card = front_and_body(published / "model" / "README.md")
    evaluated = artifacts.store.json(artifacts.references["evaluate"])
    best = evaluated["changes"]["shift"]["recommended"]["adapted"]

    assert f"Recommended threshold: **{best['threshold']:.3f}** ({best['low']:.3f} to" in card
    assert "Old thresholds do not carry over" in card
    assert "What was not to be forgotten: On general (180 pairs) it went" in card
    assert "--format sentence-transformers" in card
    assert "PeftModel.from_pretrained" in card


def test_the_model_card_states_the_figures_and_the_verdict(
    artifacts: Artifacts, published: Path
) -> None:
    front, card = front_and_body(published / "model" / "README.md")

    assert front["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert front["library_name"] == "peft"
    assert front["license"] == "apache-2.0"
    for telling in (
        "**Verdict: ship.** Better than its backbone",
        "| gold (420 pairs) | Spearman's ρ | 0.612 | 0.776 | +0.164 | +0.093 to +0.233 | 0.008 |",
        "| held-out text (200 queries over 400 texts) | nDCG@10 | 0.531 | 0.742 | +0.212 |",
        "| general, general text (180 pairs) | Spearman's ρ | 0.643 | 0.586 | −0.057 |",
        version_of("python-stdlib", artifacts.references["curate"]),
        "| train.lora_targets | `q_proj, v_proj` |", "| pooling | `last` |",
        "angle-adapt similarity",
        "0.631 before, 0.707 at the chosen step",
    ):  # fmt: skip
        assert telling in card
    assert "what the training library left here" not in card


def test_the_same_inputs_publish_the_same_artefact(artifacts: Artifacts, published: Path) -> None:
    assert publish(artifacts) == published


def test_the_summary_names_versions_and_verdict(artifacts: Artifacts, published: Path) -> None:
    summary = json.loads((published / "summary.json").read_text(encoding="utf-8"))

    assert summary["verdict"] == "ship"
    assert summary["dataset"]["rows"] == artifacts.references["curate"].rows
    assert summary["model"]["digest"] == artifacts.references["train"].digest


def test_without_gold_the_cards_say_that_agreement_is_unknown(
    artifacts_without_gold: Artifacts,
) -> None:
    folder = publish(artifacts_without_gold)
    _, data = front_and_body(folder / "dataset" / "README.md")
    _, adapted = front_and_body(folder / "model" / "README.md")

    assert "how far these labels can be trusted is not known" in data
    assert (
        "There is no gold set of this domain, so agreement with gold was not measured." in adapted
    )
    assert "Verdict: inconclusive" in adapted
    assert "No threshold is recommended: no pair has a gold score." in adapted
    assert "gold pairs" not in adapted.partition("## Evaluation")[2].partition("## Training")[0]


def test_a_published_card_names_no_place_of_this_machine(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    change(artifacts, "evaluate", lambda summary: summary.pop("strength"))
    described = {"format_version": 1, "encoder": {"backbone": "/srv/here/my-backbone"}}
    with artifacts.store.create("train") as draft:
        draft.write_json(artifacts.store.json(artifacts.references["train"]))
        draft.write_json(described, "angle_adapt")
    artifacts.references["train"] = draft.reference
    folder = publish(artifacts)

    front, card = front_and_body(folder / "model" / "README.md")
    assert front["base_model"] == "my-backbone"
    assert front["license"] == "other"
    assert "/srv/here" not in card
    for path in folder.rglob("README.md"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_a_model_that_says_nothing_of_itself_is_published_all_the_same(
    written: Callable[..., Artifacts],
) -> None:
    artifacts = written()
    change(artifacts, "evaluate", lambda summary: summary.pop("strength"))
    with artifacts.store.create("train") as draft:
        draft.write_json(artifacts.store.json(artifacts.references["train"]))
    artifacts.references["train"] = draft.reference

    assert (publish(artifacts) / "model" / "README.md").is_file()


def test_every_verdict_has_words() -> None:
    assert set(model.VERDICTS) == {"ship", "inconclusive", "regress"}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.04, "0.0 s"), (9.94, "9.9 s"), (52.3, "52 s"), (59.7, "1 min 00 s"),
     (245, "4 min 05 s"), (3_725, "1 h 02 min")],
)  # fmt: skip
def test_a_duration_is_shown_in_words(seconds: float | None, shown: str) -> None:
    assert rendering.duration(seconds) == shown


def test_a_cell_cannot_break_its_table() -> None:
    assert rendering.cell("a | b\nc") == "a \\| b c"


def test_a_version_is_short_enough_to_say() -> None:
    reference = Reference(kind="curate", digest="0123456789abcdef" * 4, uri="", rows=1)

    assert version_of("here", reference) == "here@0123456789ab"
