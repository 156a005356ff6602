"""The sweep over strengths of an adapter, beside loading and encoding a copy of each strength."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import torch

from benchmarks._record import Figure, Measurement
from pipeline import gold
from pipeline.config import CHECKOUT
from pipeline.encoder import backbone
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, ModelDescription
from pipeline.encoder.strength import scaled_copy
from pipeline.encoder.transformer import load_backbone, load_model
from pipeline.evaluation.strength import sweep
from pipeline.gold import GoldPair
from pipeline.sections import EncoderSettings, TrainSettings
from pipeline.settings import Home, home
from pipeline.training import adapters

CLAIM: Final = (
    "On two cores, six strengths of the default adapter are tried on the default domain's dev "
    "pairs and the general ones within 25 seconds, in at most half of the time of six models."
)
SETS: Final = ("python-stdlib", "general")
QUICK: Final = 40  # pairs of each set
LIMIT: Final = 25.0
APART: Final = (0.5, 1.0)  # strengths whose copies are loaded, for the time of one
SEED: Final = 13


def measure(*, quick: bool) -> Measurement:
    """Time both on the same pairs; what the adapter has learned is of no matter to time."""
    place = home()
    dev, general = (_dev(name, quick=quick) for name in SETS)
    texts = list(dict.fromkeys(t for p in (*dev, *general) for t in (p.sentence1, p.sentence2)))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        _write(model, place)
        start = time.perf_counter()
        points = len(sweep(model, place, dev, general).points)
        together = time.perf_counter() - start
        one = sum(_apart(model, strength, texts, place) for strength in APART) / len(APART)
    figures = (
        Figure.of("dev pairs", len(dev) + len(general), ""),
        Figure.of("distinct texts", len(texts), ""),
        Figure.of("strengths", points, ""),
        Figure.of("sweep", together, "s", "<=", None if quick else LIMIT),
        Figure.of("one model, loaded and encoding", one, "s"),
        Figure.of(
            "sweep, of the time of six", together / one / 6, "", "<=", None if quick else 0.5
        ),
    )
    return Measurement(figures, SEED)


def _dev(name: str, *, quick: bool) -> list[GoldPair]:
    pairs = gold.read(CHECKOUT / "data" / name / "gold_pairs.csv", 5.0)
    found = [pair for pair in pairs if pair.split == "dev"]
    return found[:QUICK] if quick else found


def _write(folder: Path, place: Home) -> None:
    """Write a model directory whose adapter is where training puts it, with random weights."""
    spec = EncoderSpec.of(EncoderSettings())
    encoder = load_backbone(spec, place)
    torch.manual_seed(SEED)
    adapted = adapters.prepared(encoder, TrainSettings())
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.01)
    adapted.save_pretrained(str(folder))
    adapters.name_base(folder, spec.backbone)
    encoder.tokenizer.save_pretrained(str(folder))
    described = ModelDescription(
        format_version=FORMAT_VERSION, encoder=spec, first_layer=adapters.first_layer(adapted),
        backbone_identity=backbone.identity(spec.backbone, spec.revision), train={},
    )  # fmt: skip
    (folder / MODEL_FILE).write_text(described.model_dump_json(), encoding="utf-8")


def _apart(model: Path, strength: float, texts: list[str], place: Home) -> float:
    """Return the seconds that a copy of one strength takes to be written, loaded and to encode."""
    copy = model.with_name(f"at-{strength:g}")
    start = time.perf_counter()
    scaled_copy(model, strength, copy)
    load_model(copy, place).encode(texts)
    return time.perf_counter() - start
