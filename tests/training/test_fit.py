"""Training: it learns, it is repeatable, and what is saved is what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.encoder import cosine
from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone, load_model
from pipeline.errors import ArtifactError, InputError, LeakageError, NotEnoughText
from pipeline.records import Document, LabeledPair, pair_id
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training import stage
from pipeline.training.fit import Trainer
from pipeline.training.state import copied

TOPICS = ("socket", "file", "list", "number")
SETTINGS = TrainSettings(
    epochs=12, learning_rate=5e-3, batch_pairs=12, lora_depth=0.5, evaluations=4, warmup=0.0
)


def labeled() -> list[LabeledPair]:
    """Pairs of one topic are similar, pairs of two are not; words around the topic mislead."""
    frames = ("Open the {} and read", "Return a {} of bytes", "Sort every {} by size")
    texts = [(topic, frame.format(topic)) for topic in TOPICS for frame in frames]
    return [
        LabeledPair(
            id=pair_id(a, b), sentence1=a, sentence2=b, score=float(one == two), strategy="test",
            split="train", document1="d1", document2="d2",
        )
        for i, (one, a) in enumerate(texts)
        for two, b in texts[i + 1 :]
    ]  # fmt: skip


def trained(tiny: Path, home: Path, settings: TrainSettings = SETTINGS) -> Trainer:
    spec = EncoderSpec(backbone=str(tiny), template='"{text}":"', pooling="last", max_length=32)
    return Trainer(load_backbone(spec, Home(home)), labeled(), settings)


def separation(trainer: Trainer) -> float:
    pairs = labeled()
    texts = [p.sentence1 for p in pairs] + [p.sentence2 for p in pairs]
    vectors = trainer.vectors(trainer.split.lower(trainer.encoder.token_ids(texts), ""))
    found = cosine(vectors[: len(pairs)], vectors[len(pairs) :])
    alike = np.array([p.score for p in pairs]) == 1
    return float(found[alike].mean() - found[~alike].mean())


def test_training_moves_similar_texts_together(tiny_backbone: Path, tmp_path: Path) -> None:
    trainer = trained(tiny_backbone, tmp_path)
    before = separation(trainer)
    history = trainer.run(None)
    assert before < 0.2
    assert separation(trainer) > before + 0.4
    assert history.steps == len(history.curve) == history.best_step
    assert history.curve[-1]["loss"] < history.curve[0]["loss"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    states = []
    for seed in (1, 1, 2):
        trainer = trained(tiny_backbone, tmp_path, short.model_copy(update={"seed": seed}))
        trainer.run(None)
        states.append(copied(trainer.model))
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_what_is_run_and_kept_at_a_time_changes_no_result(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    losses = []
    for chunk, graph in ((64, 0), (64, 200), (4_096, 4_096)):
        changed = {"epochs": 0.4, "chunk_tokens": chunk, "graph_tokens": graph}
        settings = SETTINGS.model_copy(update=changed)
        trainer = trained(tiny_backbone, tmp_path, settings)
        losses.append([row["loss"] for row in trainer.run(None).curve])
    assert losses[0] == pytest.approx(losses[2], rel=2e-2)
    assert losses[1] == pytest.approx(losses[2], rel=2e-2)


def test_the_best_adapter_by_dev_is_kept_and_training_stops_when_it_no_longer_rises(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"evaluations": 12, "patience": 2})
    trainer = trained(tiny_backbone, tmp_path, settings)
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.5, 0.3, 0.2, 0.9])

    def dev_score() -> float:
        seen.append(copied(trainer.model))
        return next(scores)

    history = trainer.run(dev_score)
    assert history.stopped_early
    assert [row["spearman"] for row in history.dev_curve] == [0.1, 0.5, 0.3, 0.2]
    assert history.best_dev == 0.5
    assert all(torch.equal(value, seen[1][name]) for name, value in copied(trainer.model).items())


def test_a_model_that_never_beats_its_backbone_is_its_backbone(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    trainer = trained(tiny_backbone, tmp_path)
    scores = iter([0.9, 0.5, 0.4, 0.3, 0.2])
    history = trainer.run(lambda: next(scores))
    assert history.best_step == 0
    assert abs(separation(trainer) - separation(trained(tiny_backbone, tmp_path))) < 1e-6


def config_for(tiny: Path) -> DomainConfig:
    return parse(
        {
            "domain": "tiny",
            "encoder": {"backbone": str(tiny), "max_length": 32},
            "train": SETTINGS.model_dump() | {"epochs": 2},
        }
    )


def dataset(store: Store, pairs: list[LabeledPair]) -> dict[str, Reference]:
    with store.create("dataset") as draft:
        draft.write_rows(pairs, LabeledPair)
    with store.create("corpus") as corpus:
        corpus.write_rows([], Document)
    return {"curate": draft.reference, "clean": corpus.reference}


def test_the_saved_model_gives_the_vectors_of_the_trained_one(
    tiny_backbone: Path, store: Store
) -> None:
    config = config_for(tiny_backbone)
    reference = stage.run(dataset(store, labeled()), config, store)
    folder = store.path(reference)
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "angle_adapt.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]

    spec = EncoderSpec.of(config.encoder)
    trainer = Trainer(load_backbone(spec, store.home), labeled(), config.train)
    trainer.run(None)
    texts = [pair.sentence1 for pair in labeled()[:8]]
    trainer.model.eval()
    loaded = load_model(folder, store.home)
    with torch.no_grad():
        expected = trainer.encoder.encode(texts)
    assert cosine(loaded.encode(texts), expected).min() > 0.999
    base = load_backbone(spec, store.home)
    assert cosine(loaded.encode(texts), base.encode(texts)).min() < 0.99


def test_loading_what_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"angle_adapt\.json"):
        load_model(tmp_path, Home(tmp_path))


def test_a_model_of_a_newer_version_is_refused(tiny_backbone: Path, store: Store) -> None:
    reference = stage.run(dataset(store, labeled()), config_for(tiny_backbone), store)
    file = store.path(reference) / "angle_adapt.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 99}))
    with pytest.raises(ArtifactError, match="model format 99"):
        load_model(file.parent, store.home)


def test_a_text_with_nearly_a_held_out_vector_stops_training_where_that_is_wanted(
    tiny_backbone: Path, store: Store, document: Callable[..., Document]
) -> None:
    with store.create("corpus") as draft:
        draft.write_rows([document("Quite another text.", split="test")], Document)
    inputs = dataset(store, labeled()) | {"clean": draft.reference}
    config = config_for(tiny_backbone)
    near = {"cosine": 0.0, "near_duplicate": 1.0}

    def run(**more: Any) -> Reference:
        leakage = near | {"embedding": more.pop("embedding", "stop")}
        return stage.run(inputs, parse(config.model_dump() | {"leakage": leakage} | more), store)

    with pytest.raises(LeakageError, match="Quite another text"):
        run()
    assert not list(store.home.checkpoints.glob("*"))
    assert run(allow_leakage=True).digest == run(embedding="report").digest


def test_too_few_pairs_are_refused(tiny_backbone: Path, store: Store) -> None:
    with pytest.raises(NotEnoughText, match="1 labelled pairs"):
        stage.run(dataset(store, labeled()[:1]), config_for(tiny_backbone), store)
