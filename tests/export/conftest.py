"""Artefacts of a whole run as the stages would leave them, with figures of the usual size."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, ModelDescription
from pipeline.evaluation.measure import MeasuredPair
from pipeline.records import Document, LabeledPair, pair_id, text_id
from pipeline.runs import RunRecord, StageRecord
from pipeline.settings import Home
from tests.export.evaluations import measurement

SCRIPT = "<script>alert('here')</script>"
TEXTS = (
    "Return a copy of the string with leading and trailing white space removed.",
    "Remove white space from both ends of the string and return what is left.",
    "Generate the file names in a directory tree by walking it top-down or bottom-up.",
    "Open the file pointed to by this path and return a file object.",
    "Return the positive square root of a number.",
    "Return the natural logarithm of one plus a number, accurate near zero.",
    "Wait until the lock can be acquired, or until the timeout has passed.",
    "Release a lock that was acquired before; it must not be called when the lock is free.",
    "Serialise an object to a JSON formatted string, converting keys that are not strings.",
    "Deserialise a JSON document to a Python object.",
    "Run the coroutine and return its result, managing the event loop.",
    "Schedule the callback to be called at the next iteration of the event loop.",
    "Create a temporary directory and remove it when the context is left.",
    "Insert an item in a sorted list and keep it sorted, to the right of equal items.",
    "Merge several sorted inputs into a single sorted output, without reading all of them at once.",
    "Return successive overlapping pairs taken from the input.",
    "Split the string at the last occurrence of the separator.",
    "Join path components with exactly one separator after each non-empty part except the last.",
    f"Escape the characters {SCRIPT} and & so that a text is safe to show in HTML.",
    "Compute the hash of a file's content with the named digest, reading it in blocks.",
)


class Artifacts(NamedTuple):
    """A store with the artefacts of a run, and the record of that run."""

    store: Store
    references: dict[str, Reference]
    run: RunRecord
    config: DomainConfig


def summaries(*, gold: bool) -> dict[str, dict[str, Any]]:
    """Return the summary of each stage."""
    names = ("likelihood", "char_tfidf", "frozen_encoder")
    figures = {"likelihood": 0.646, "char_tfidf": 0.688, "frozen_encoder": 0.631, "blend": 0.732}
    steps = list(range(1, 46))
    loss = {
        "cosine": [2.1 * np.exp(-s / 16) + 2.3 + 0.12 * np.sin(s * 1.7) for s in steps],
        "in_batch": [1.5 * np.exp(-s / 9) + 0.4 + 0.07 * np.sin(s * 2.3) for s in steps],
        "angle": [0.6 * np.exp(-s / 20) + 0.5 + 0.03 * np.sin(s) for s in steps],
    }
    curve = [
        {"step": s, **(terms := {name: float(values[i]) for name, values in loss.items()}),
         "loss": terms["cosine"] + terms["in_batch"] + 0.02 * terms["angle"],
         "learning_rate": 2e-4 * (1 - s / 46)}
        for i, s in enumerate(steps)
    ]  # fmt: skip
    return {
        "collect": {"source": "python_docs", "documents": 6_412, "licences": {"PSF-2.0": 6_412},
                    "dropped": {"no_text": 41, "not_text": 1_207}},
        "clean": {
            "in": 6_412, "kept": 4_655, "clusters": 4_655,
            "dropped": {"too_short": 1_022, "exact_duplicate": 507, "near_duplicate": 198,
                        "mostly_symbols": 30},
            "masked": {"email": 4, "phone": 1},
            "splits": {"train": 3_257, "dev": 0, "test": 1_398},
        },
        "mine": {
            "pairs": 1_500, "texts": 2_114, "dropped": {"text_used_up": 214, "not_needed": 36_000},
            "strategies": {"same_document": 375, "neighbours": 675, "random": 450},
            "coverage": {
                "pairs": [174, 174, 174, 174, 174, 174, 174, 141, 90, 51],
                "candidates": [11_085, 6_407, 7_303, 8_469, 3_581, 699, 199, 108, 64, 35],
                "batch": 32, "comparisons": 442.87, "possible": 496,
                "strategies": {
                    "same_document": {"candidates": 405, "pairs": 375, "mean": 0.38},
                    "neighbours": {"candidates": 33_666, "pairs": 675, "mean": 0.51},
                    "title_body": {"candidates": 12, "pairs": 0, "mean": None},
                    "random": {"candidates": 15_984, "pairs": 450, "mean": 0.2},
                },
            },
        },
        "label": {
            "annotators": {
                name: {"identity": f"{name}/smollm2-135m/v1", "scored": 1_500, "missing": 0,
                       "asked": 1_480, "reused": 20, "seconds": 101.4 if place == 0 else 3.2}
                for place, name in enumerate(names)
            }
        },
        "curate": {
            "in": 1_500, "kept": 1_462,
            "dropped": {"annotators_disagree": 31, "gold_text": 7},
            "histogram": [int(60 + 40 * np.cos(bin_ / 3)) for bin_ in range(20)],
            "combine": "blend",
            "agreement": {
                name: {"spearman": rho, "low": rho - 0.07, "high": rho + 0.06, "pairs": 220,
                       "kappa": rho - 0.1, "kappa_low": rho - 0.2, "kappa_high": rho}
                for name, rho in figures.items()
            } if gold else {},
            "between": [{"a": names[one], "b": names[two], "spearman": rho, "low": rho - 0.04,
                         "high": rho + 0.04, "kappa": rho - 0.03, "kappa_low": rho - 0.08,
                         "kappa_high": rho + 0.02, "pairs": 1_462}
                        for one, two, rho in ((0, 1, 0.58), (0, 2, 0.61), (1, 2, 0.55))],
            "krippendorff": {"interval": {"alpha": 0.574, "low": 0.551, "high": 0.596},
                             "ordinal": {"alpha": 0.569, "low": 0.546, "high": 0.591}},
            "calibration": calibration(names) if gold else {
                "method": "rank", "gold_pairs": 0, "annotators": {}, "labels": {},
                "reason": "fewer than 50 gold dev pairs are scored by likelihood"},
            "disagreements": {"above": 0.4, "pairs": 57},
            "by_strategy": {"same_document": {"pairs": 370, "mean": 0.71},
                            "neighbours": {"pairs": 652, "mean": 0.57},
                            "random": {"pairs": 440, "mean": 0.22}},
        },
        "train": {
            "steps": 45, "epochs": 1.0, "stopped_early": True, "best_step": 33,
            "base_dev": 0.631 if gold else None, "best_dev": 0.707 if gold else None,
            "pairs": 1_462, "trainable_parameters": 4_884_480, "tokens": 171_220, "seconds": 188.3,
            "curve": curve,
            "gradient_norms": [{"step": s, "cosine": 0.21 + s / 900, "in_batch": 0.6 - s / 90,
                                "angle": 0.011 + s / 9_000} for s in (1, 15, 30, 45)],
            "dev_curve": [{"step": step, "spearman": rho} for step, rho in
                          ((11, 0.668), (22, 0.695), (33, 0.707), (45, 0.701))] if gold else [],
            "versions": {"torch": "2.13.0", "peft": "0.21.2"},
        },
    }  # fmt: skip


def calibration(names: tuple[str, ...]) -> dict[str, Any]:
    """Return what curate found of each annotator's scores before and after calibration."""

    def quality(bend: float, error: float) -> dict[str, Any]:
        curve = [{"predicted": x / 10, "gold": (x / 10) ** bend, "low": (x / 10) ** bend - 0.06,
                  "high": (x / 10) ** bend + 0.05, "pairs": 22} for x in range(1, 10)]  # fmt: skip
        return {"spearman": 0.64, "low": 0.57, "high": 0.7, "kappa": 0.5, "kappa_low": 0.4,
                "kappa_high": 0.6, "mae": error, "mae_low": error - 0.01, "mae_high": error + 0.01,
                "pairs": 220, "curve": curve}  # fmt: skip

    return {
        "method": "isotonic", "reason": "", "gold_pairs": 220, "labels": quality(1.5, 0.172),
        "annotators": {name: {"before": quality(2.0 + place, 0.243 + place / 100),
                              "after": quality(1.05, 0.161 + place / 100)}
                       for place, name in enumerate(names)},
    }  # fmt: skip


def documents() -> list[Document]:
    """Return the documents of the texts."""
    return [
        Document(id=text_id(text), text=text, licence="PSF-2.0",
                 name=f"package.module.SomeClass.a_method_with_a_long_name_{n}",
                 source="python-docs 3.11", split="train")
        for n, text in enumerate(TEXTS)
    ]  # fmt: skip


def labeled() -> list[LabeledPair]:
    """Return every pair of the texts, with labels all over the range."""
    found = []
    for left, first in enumerate(documents()):
        for right, second in enumerate(documents()[left + 1 :], start=left + 1):
            found.append(
                LabeledPair(
                    id=pair_id(first.text, second.text), sentence1=first.text,
                    sentence2=second.text, score=((left * 7 + right * 13) % 21) / 20,
                    strategy=("random", "neighbours")[right % 2], split="train",
                    document1=first.id, document2=second.id, name1=first.name, name2=second.name,
                )
            )  # fmt: skip
    return found


def write_model(folder: Path) -> None:
    """Write the files of a model directory, with an adapter of one layer."""
    spec = EncoderSpec(backbone="smollm2-135m-instruct", pooling="last", max_length=96,
                       template='Summarize sentence "{text}" in one word:"')  # fmt: skip
    model = ModelDescription(
        format_version=FORMAT_VERSION, encoder=spec, backbone_identity="", first_layer=20,
        train={"epochs": 2.0, "learning_rate": 2e-4, "lora_targets": ["q_proj", "v_proj"]},
    )  # fmt: skip
    (folder / MODEL_FILE).write_text(model.model_dump_json())
    (folder / "adapter_config.json").write_text(json.dumps({"r": 2}))
    layer = "base_model.model.layers.20.self_attn.q_proj.lora_{}.weight"
    adapter = {layer.format("A"): np.ones((2, 8), np.float32),
               layer.format("B"): np.full((8, 2), 0.5, np.float32)}  # fmt: skip
    save_file(adapter, folder / "adapter_model.safetensors")
    (folder / "README.md").write_text("what the training library left here")


def write_artifacts(root: Path, *, gold: bool = True) -> Artifacts:
    """Write the artefacts of a run into a store under ``root``."""
    store, references, found = Store(Home(root)), {}, summaries(gold=gold)
    measured = measurement(TEXTS, gold=gold)
    found["evaluate"] = measured.summary
    for name, summary in found.items():
        with store.create(name) as draft:
            draft.write_json(summary)
            if name == "clean":
                draft.write_rows(documents(), Document)
            if name == "curate":
                draft.write_rows(labeled(), LabeledPair)
            if name == "evaluate":
                draft.write_rows(measured.pairs, MeasuredPair)
            if name == "train":
                write_model(draft.path)
        references[name] = draft.reference
    config = DomainConfig(domain="python-stdlib", description="Documentation of the library.")
    return Artifacts(store, references, run_record(references, config), config)


def change(artifacts: Artifacts, name: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Replace the artefact of a stage by one whose summary ``edit`` has changed, rows as before."""
    store, reference = artifacts.store, artifacts.references[name]
    summary = store.json(reference)
    edit(summary)
    with store.create(name) as draft:
        shutil.copytree(store.path(reference), draft.path, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("MANIFEST.json", "summary.json"))  # fmt: skip
        draft.rows = reference.rows
        draft.write_json(summary)
    artifacts.references[name] = draft.reference


def run_record(references: dict[str, Reference], config: DomainConfig) -> RunRecord:
    """Return the record of a run that came to ``references``."""
    times = dict(zip(references, (4.2, 9.8, 21.0, 108.3, 1.1, 204.7, 39.5), strict=False))
    stages = [
        StageRecord(stage=name, cached=name in ("collect", "clean"), digest=reference.digest,
                    rows=reference.rows, seconds=times[name], waited=0.1 if name in ("collect",
                    "clean") else times[name], key=f"{name}-0123456789abcdef")
        for name, reference in references.items()
    ]  # fmt: skip
    return RunRecord(
        id="python-stdlib-20261122-081400-ab12", domain="python-stdlib", status="completed",
        started="2026-11-22T08:14:00+00:00", finished="2026-11-22T08:20:31+00:00", verdict="ship",
        stages=tuple(stages), config=config.model_dump(mode="json"), seeds={"train": 13},
        versions={"python": platform.python_version(), "torch": "2.13.0"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return write_artifacts(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def artifacts_without_gold(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return write_artifacts(tmp_path_factory.mktemp("home"), gold=False)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Artifacts]:
    """Return a function that writes artefacts of this test's own, to be damaged."""
    return lambda **how: write_artifacts(tmp_path / "home", **how)
