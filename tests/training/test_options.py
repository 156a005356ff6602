"""Kinds of adapters, nested vectors, early layers, staying like the backbone, mixed formats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import spearmanr
from transformers import BertConfig, BertModel, LlamaForCausalLM, PreTrainedTokenizerFast

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import TransformerEncoder, load_backbone, load_model
from pipeline.errors import InputError
from pipeline.sections import EncoderSettings, TrainSettings
from pipeline.settings import Home
from pipeline.training import job, saving
from pipeline.training.dev import DevScore
from pipeline.training.examples import Example
from pipeline.training.fit import Trainer
from pipeline.training.state import copied

TOPICS = ("socket", "file", "list", "number")
FRAMES = ("Open the {} and read", "Return a {} of bytes", "Sort every {} by size")


def pairs(*, grades: bool = True) -> list[Example]:
    texts = [(topic, frame.format(topic)) for topic in TOPICS for frame in FRAMES]
    found = [
        Example(a, b, float(one == two))
        for i, (one, a) in enumerate(texts)
        for two, b in texts[i + 1 :]
    ]
    return found if grades else [Example(a, b, math.nan) for a, b, same in found if same]


@pytest.fixture(scope="session")
def tiny_bert(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_backbone)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        vocab_size=len(tokenizer), max_position_embeddings=128, pad_token_id=1,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def encoder(folder: Path, home: Path, **how: object) -> TransformerEncoder:
    given = {"template": '"{text}":"', "pooling": "last", "max_length": 32} | how
    spec = EncoderSpec.model_validate({"backbone": str(folder)} | given)
    return load_backbone(spec, Home(home), torch.float32)


def trainer(
    of: TransformerEncoder, chosen: Sequence[Example] | None = None, **changed: object
) -> Trainer:
    settings = {
        "epochs": 8, "learning_rate": 5e-3, "batch_pairs": 12, "lora_depth": 1.0,
        "precision": "float32", "warmup": 0.0,
    }  # fmt: skip
    return Trainer(of, chosen or pairs(), TrainSettings.model_validate(settings | changed))


def score(run: Trainer) -> float:
    return DevScore(run, pairs())()


@pytest.mark.parametrize("adapter", ["lora", "dora", "rslora"])
@pytest.mark.parametrize("kind", ["llama", "bert", "bidirectional"])
def test_every_adapter_learns_on_every_kind_of_backbone(
    tiny_backbone: Path, tiny_bert: Path, tmp_path: Path, adapter: str, kind: str
) -> None:
    how = {"bert": {"pooling": "cls"}, "bidirectional": {"attention": "bidirectional"}}
    folder = tiny_bert if kind == "bert" else tiny_backbone
    run = trainer(encoder(folder, tmp_path, **how.get(kind, {})), adapter=adapter, lora_depth=0.5)
    before = score(run)
    run.run()
    assert before < 0.5
    assert score(run) > before + 0.2
    names = "".join(copied(run.model))
    assert ("magnitude" in names) == (adapter == "dora")
    assert ".1." not in names
    assert ".2." in names


def test_a_saved_model_is_loaded_by_its_path_with_the_vectors_it_was_trained_to_give(
    tiny_bert: Path, tmp_path: Path
) -> None:
    run = trainer(encoder(tiny_bert, tmp_path, pooling="mean"), epochs=2)
    run.run()
    out = tmp_path / "model"
    out.mkdir()
    saving.save(run, out)
    texts = [pair.sentence1 for pair in pairs()]
    merged, again = (load_model(out, Home(tmp_path), torch.float32) for _ in "12")
    unmerged = load_model(out, Home(tmp_path), torch.float32, merge=False)
    run.model.eval()
    assert np.abs(merged.encode(texts) - again.encode(texts)).max() == 0
    assert np.abs(unmerged.encode(texts) - run.encoder.encode(texts)).max() < 1e-6
    assert np.einsum("ij,ij->i", merged.encode(texts), unmerged.encode(texts)).min() > 0.9999


def test_training_goes_on_from_a_saved_adapter(tiny_backbone: Path, tmp_path: Path) -> None:
    first = trainer(encoder(tiny_backbone, tmp_path), epochs=4, lora_depth=0.5)
    first.run()
    out = tmp_path / "model"
    out.mkdir()
    saving.save(first, out)
    second = trainer(encoder(tiny_backbone, tmp_path), epochs=2, start_from=str(out))
    assert second.first_layer == 2
    for name, value in copied(first.model).items():
        assert torch.equal(value, copied(second.model)[name])
    before = score(second)
    assert before == pytest.approx(score(first), abs=1e-6)
    second.run()
    assert score(second) != before


def test_a_published_adapter_brings_its_template_and_trains_on(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    # Its layout: an adapter of a causal language model, on the query and value projections alone.
    folder = tmp_path / "angle-llama-7b-nli-20231027"
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])
    torch.manual_seed(1)
    published = get_peft_model(LlamaForCausalLM.from_pretrained(tiny_backbone), lora)
    for name, weight in published.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    published.save_pretrained(folder)

    chosen = EncoderSettings(backbone=str(tiny_backbone), max_length=32)
    settings = TrainSettings(start_from=str(folder), epochs=2, precision="float32")
    spec = job.spec_for(chosen, settings)
    assert (spec.template, spec.pooling) == ('Summarize sentence "{text}" in one word:"', "last")
    before = Trainer(load_backbone(spec, Home(tmp_path), torch.float32), pairs(), settings)
    expected = load_model(folder, Home(tmp_path), torch.float32, spec=spec).encode(both_sides())
    before.model.eval()
    assert np.abs(before.encoder.encode(both_sides()) - expected).max() < 1e-5

    summary = job.train(job.job(spec, settings, pairs(), pairs(), Home(tmp_path)), tmp_path / "out")
    assert summary["best_dev"] > summary["base_dev"]
    trained = load_model(tmp_path / "out", Home(tmp_path), torch.float32)
    assert rho(trained.encode(both_sides())) == pytest.approx(summary["best_dev"], abs=1e-3)


def test_an_adapter_of_another_backbone_is_refused(
    tiny_backbone: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    run = trainer(encoder(tiny_bert, tmp_path), epochs=0.3)
    run.run()
    out = tmp_path / "model"
    out.mkdir()
    saving.save(run, out)
    with pytest.raises(InputError, match=r"tiny-backbone.*trained on another backbone"):
        trainer(encoder(tiny_backbone, tmp_path), start_from=str(out))
    (out / "angle_adapt.json").unlink()  # as an adapter of others, which says less
    with pytest.raises(InputError, match="does not fit"):
        trainer(encoder(tiny_backbone, tmp_path), start_from=str(out))
    with pytest.raises(InputError, match=r"train\.start_from .* neither a folder nor a Hub name"):
        trainer(encoder(tiny_backbone, tmp_path), start_from="./nowhere")


def rho(vectors: np.ndarray) -> float:
    """Spearman's rho of the test pairs, for vectors of their first and then their second texts."""
    given, half = pairs(), len(vectors) // 2
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.einsum("ij,ij->i", unit[:half], unit[half:])
    return float(spearmanr(cosines, [pair.score for pair in given]).statistic)


def both_sides() -> list[str]:
    return [pair.sentence1 for pair in pairs()] + [pair.sentence2 for pair in pairs()]


def test_nested_vectors_work_alone_after_training_them(tiny_backbone: Path, tmp_path: Path) -> None:
    found = []
    for nested in ((), (4,)):
        run = trainer(encoder(tiny_backbone, tmp_path), epochs=6, matryoshka=nested)
        run.run()
        run.model.eval()
        found.append(rho(run.encoder.encode(both_sides())[:, :4]))
    assert found[1] > found[0] + 0.05


def test_early_layers_work_alone_after_training_them(tiny_backbone: Path, tmp_path: Path) -> None:
    found = []
    for early in ((), (2,)):
        run = trainer(encoder(tiny_backbone, tmp_path), epochs=3, early_layers=early)
        run.run()
        out = tmp_path / f"model-{len(early)}"
        out.mkdir()
        saving.save(run, out)
        spec = run.encoder.spec.model_copy(update={"layers": 2})
        short = load_model(out, Home(tmp_path), torch.float32, spec=spec)
        found.append(rho(short.encode(both_sides())))
    assert found[1] > found[0] + 0.05


def test_early_layers_that_are_not_trained_are_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.early_layers \[1\]: .* allow 3 to 3; raise"):
        trainer(encoder(tiny_backbone, tmp_path), early_layers=[1], lora_depth=0.5)


def moved(run: Trainer, texts: list[str], before: np.ndarray) -> float:
    run.model.eval()
    after = run.encoder.encode(texts)
    return float(np.abs(after @ after.T - before @ before.T).mean())


def test_distillation_keeps_the_relations_of_the_backbone(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    texts = [frame.format(topic) for topic in TOPICS for frame in FRAMES]
    before = encoder(tiny_backbone, tmp_path).encode(texts)
    found = {}
    for weight in (0.0, 300.0):
        run = trainer(encoder(tiny_backbone, tmp_path), epochs=3, distill_weight=weight)
        run.run()
        found[weight] = moved(run, texts, before)
        assert ("distill" in run.history.curve[0]) == bool(weight)
    assert found[300.0] < 0.5 * found[0.0]


def test_pairs_triples_and_grades_train_together(tiny_backbone: Path, tmp_path: Path) -> None:
    graded = [pair for index, pair in enumerate(pairs()) if index % 2]
    mixed = [*graded, *pairs(grades=False), Example("Open the file", "Close the list", 0.0)]
    run = trainer(encoder(tiny_backbone, tmp_path), mixed, sampler="graded")
    before = score(run)
    history = run.run()
    assert score(run) > before + 0.2
    assert {"cosine", "in_batch", "angle", "loss"} <= set(history.curve[0])


def test_positives_alone_train_through_in_batch_negatives(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    run = trainer(encoder(tiny_backbone, tmp_path), pairs(grades=False), batch_pairs=6, epochs=20)
    before = score(run)
    run.run()
    assert score(run) > before + 0.2


@pytest.mark.parametrize("preset", ["default", "paper", "llama-nli", "angle_emb-0.6"])
def test_every_preset_learns(tiny_backbone: Path, tmp_path: Path, preset: str) -> None:
    run = trainer(encoder(tiny_backbone, tmp_path), preset=preset)
    before = score(run)
    run.run()
    assert score(run) > before + 0.2
