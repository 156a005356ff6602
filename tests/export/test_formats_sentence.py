"""sentence-transformers: `SentenceTransformer(folder).encode` gives what the model gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from pipeline.encoder import Vectors, cosine
from pipeline.errors import InputError
from pipeline.export.formats import parity, sentence, writing
from pipeline.export.formats.source import Source, open_source, tokens_of
from pipeline.settings import home
from tests.export import small_models
from tests.export.small_models import ONE_WORD

WAYS: dict[str, dict[str, Any]] = {
    "as LLaMA is trained": {},
    "template without a text's border in it": {"template": "query: {text} ."},
    "prompt in front": {"template": "Represent this: {text}", "pooling": "mean"},
    "nothing around": {"template": "{text}", "pooling": "weighted_mean"},
    "nothing around, last": {"template": "{text}"},
    "first and mean": {"pooling": "cls_mean", "template": "{text} is"},
    "fewer dimensions": {"dimensions": 10, "pooling": "cls"},
    "both, from BERT's first token": {"pooling": "cls_mean", "dimensions": 24},
    "later tokens too": {"attention": "bidirectional", "pooling": "mean"},
    "fewer layers": {"layers": 2, "pooling": "weighted_mean", "template": '"{text}"'},
    "odd template": {"template": "{{ 'ü\n\"' }}%}{text}\\n {% raw"},
}
BERT: dict[str, dict[str, Any]] = {
    "as BERT is trained": {"template": "{text}", "pooling": "cls"},
    "template around": {"pooling": "last"},
    "both poolings": {"template": "query: {text}", "pooling": "cls_mean", "dimensions": 10},
}


@pytest.fixture(scope="module")
def llama(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.backbone(tmp_path_factory.mktemp("llama") / "b", "llama", tiny_backbone)


@pytest.fixture(scope="module")
def bert(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.backbone(tmp_path_factory.mktemp("bert") / "b", "bert", tiny_backbone)


def both(source: Source, folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    model = SentenceTransformer(str(folder), device="cpu")
    theirs = model.encode(texts, batch_size=7, show_progress_bar=False)
    return source.encoder.encode(texts), np.asarray(theirs)


def written(source: Source, out: Path, form: str = "merged") -> Path:
    writing.export(
        source.path, writing.Request(format="sentence-transformers", form=form), out, home()
    )
    return out


def check(source: Source, out: Path) -> None:
    texts = parity.texts_for(source)
    ours, theirs = both(source, out, texts)
    assert cosine(ours, theirs).min() >= 0.9999
    assert np.linalg.norm(theirs, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_decoder_gives_its_own_vectors(way: str, llama: Path, tmp_path: Path) -> None:
    source = open_source(small_models.model(tmp_path / "m", llama, **WAYS[way]), home())
    check(source, written(source, tmp_path / "out"))


@pytest.mark.parametrize("way", BERT)
def test_an_encoder_gives_its_own_vectors(way: str, bert: Path, tmp_path: Path) -> None:
    source = open_source(small_models.model(tmp_path / "m", bert, **BERT[way]), home())
    check(source, written(source, tmp_path / "out"))


def test_adapters_give_the_vectors_of_the_merged_model(llama: Path, tmp_path: Path) -> None:
    half = shutil.copytree(llama, tmp_path / "half")
    AutoModel.from_pretrained(llama, dtype=torch.bfloat16).save_pretrained(half)
    source = open_source(small_models.model(tmp_path / "m", half), home())
    out = written(source, tmp_path / "out", "adapter")
    assert not (out / "model.safetensors").exists()
    check(source, out)


def test_a_whole_model_needs_no_adapters(bert: Path, tmp_path: Path) -> None:
    source = open_source(bert, home())
    assert not source.has_adapter
    check(source, written(source, tmp_path / "out"))
    with pytest.raises(InputError, match="without adapters"):
        written(source, tmp_path / "other", "adapter")


def test_a_text_that_shares_a_token_with_the_template_is_cut_to_the_same_ids(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    place = small_models.backbone(tmp_path / "b", "llama", tiny_backbone)
    small_models.share_a_token(place)
    source = open_source(small_models.model(tmp_path / "m", place), home())
    assert len(source.encoder.tokenizer('."')["input_ids"]) == 1
    out, texts = written(source, tmp_path / "out"), parity.texts_for(source)
    texts += ["Sort it. " * 40 + "x" * shift for shift in range(3)] + ["a," * 99, ". . . " * 50]
    model = SentenceTransformer(str(out), device="cpu")
    made = model.preprocess(texts)
    rows = zip(made["input_ids"], made["attention_mask"], strict=True)
    theirs = [ids[mask.bool()].tolist() for ids, mask in rows]
    ours = source.encoder.token_ids(texts)
    assert ours == theirs
    assert all(len(row) <= tokens_of(source).limit for row in theirs)


def test_a_prompt_of_the_caller_stands_inside_of_the_template(llama: Path, tmp_path: Path) -> None:
    source = open_source(small_models.model(tmp_path / "m", llama), home())
    model = SentenceTransformer(str(written(source, tmp_path / "out")), device="cpu")
    theirs = model.encode(["a file"], prompt="Sort: ", show_progress_bar=False)
    assert cosine(source.encoder.encode(["Sort: a file"]), theirs)[0] >= 0.9999


def test_there_is_no_code_in_it_and_no_place_of_this_machine(llama: Path, tmp_path: Path) -> None:
    model = small_models.model(tmp_path / "m", llama, dimensions=10)
    out = written(open_source(model, home()), tmp_path / "out")
    kinds = {file.suffix for file in out.rglob("*") if file.is_file()}
    assert kinds == {".json", ".safetensors", ".md", ".jinja"}
    for file in [*out.rglob("*.json"), *out.rglob("*.md")]:
        if file.name != "export.json":
            assert str(llama.parent) not in file.read_text(encoding="utf-8"), file


def test_half_precision_is_close(llama: Path, tmp_path: Path) -> None:
    model = small_models.model(tmp_path / "m", llama)
    asked = writing.Request(format="sentence-transformers", precision="f16")
    found = writing.export(model, asked, tmp_path / "out", home())
    assert 0.999 <= found["parity"]["lowest"] < 1
    size = (tmp_path / "out/model.safetensors").stat().st_size
    assert size < 0.6 * (llama / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("fields", "form", "says"),
    [
        ({"attention": "bidirectional", "bidirectional_from": 1}, "merged", "export it as onnx"),
        ({"attention": "bidirectional"}, "adapter", "--merged"),
        ({"layers": 2}, "adapter", "--merged"),
    ],
)
def test_what_it_cannot_say_is_refused(
    fields: dict[str, Any], form: str, says: str, llama: Path, tmp_path: Path
) -> None:
    source = open_source(small_models.model(tmp_path / "m", llama, **fields), home())
    with pytest.raises(InputError, match=says):
        written(source, tmp_path / "out", form)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_the_rule_in_the_manifest_gives_their_ids(llama: Path, tmp_path: Path) -> None:
    source = open_source(small_models.model(tmp_path / "m", llama, template=ONE_WORD), home())
    tokens = tokens_of(source)
    row = source.encoder.tokenizer(tokens.before + "Sort " * 99 + tokens.after)["input_ids"]
    assert sentence.POOLINGS.keys() >= {source.spec.pooling}
    assert len(row) > tokens.limit
    cut = row[: tokens.limit - len(tokens.end)] + list(tokens.end)
    assert cut == source.encoder.token_ids(["Sort " * 99])[0]
