"""Exports: how equal the default backbone with adapters is to itself in every other program."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._record import Figure, Measurement
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec, ModelDescription
from pipeline.sections import EncoderSettings
from pipeline.settings import Home, home

log = logging.getLogger(__name__)

CLAIM: Final = (
    "The default backbone with adapters gives its own vectors in sentence-transformers and peft "
    "(cosine >= 0.9999), in onnxruntime and in llama.cpp's server (>= 0.999), empty and too long "
    "texts included."
)
SEED: Final = 13
QUICK_LAYERS: Final = 4


class Way(NamedTuple):
    """What is asked of the export, and the lowest cosine that is claimed; None: it is measured."""

    format: str
    form: str
    precision: str
    claimed: float | None


WAYS: Final = (
    Way("sentence-transformers", "merged", "f32", 0.9999),
    Way("sentence-transformers", "merged", "f16", None),
    Way("sentence-transformers", "adapter", "f32", 0.9999),
    Way("peft", "adapter", "f32", 0.9999),
    Way("onnx", "merged", "f32", 0.999),
    Way("onnx", "merged", "int8", 0.98),
    Way("gguf", "merged", "f32", 0.999),
    Way("gguf", "merged", "f16", 0.999),
    Way("gguf", "merged", "q8_0", None),
)


def measure(*, quick: bool) -> Measurement:
    """Export the model in every way; random adapters stand in for trained ones.

    ``quick`` keeps the first layers of the backbone; adapters alone cannot say so and are left out.
    """
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        model = _model(Path(place) / "model", home(), layers=QUICK_LAYERS if quick else 0)
        for way in WAYS:
            if not (quick and way.format == "sentence-transformers" and way.form == "adapter"):
                figures += _measured(way, model, Path(place) / "-".join(way[:3]))
    return Measurement(tuple(figures), SEED)


def _measured(way: Way, model: Path, out: Path) -> list[Figure]:
    from pipeline.errors import InputError  # noqa: PLC0415 - torch is imported when it is measured
    from pipeline.export.formats import writing  # noqa: PLC0415

    name = f"{way.format}, {way.form}, {way.precision}"
    log.info("%s", name)
    asked = writing.Request(format=way.format, form=way.form, precision=way.precision)
    start = time.perf_counter()
    try:
        found: dict[str, Any] = writing.export(model, asked, out, home())
    except InputError as error:
        log.warning("%s: %s", name, error)
        return [Figure.of(f"{name}: lowest cosine", -1.0, "", ">=", way.claimed or 0.0)]
    lasted, parity = time.perf_counter() - start, found["parity"]
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    figures = [
        Figure.of(f"{name}: lowest cosine", parity["lowest"], "", ">=", way.claimed),
        Figure.of(f"{name}: mean cosine", parity["mean"], "", ">="),
        Figure.of(f"{name}: size", size, "MB"),
        Figure.of(f"{name}: written and measured", lasted, "s"),
    ]
    return figures


def _model(folder: Path, place: Home, *, layers: int) -> Path:
    """Write random adapters in the upper third of the default backbone."""
    import torch  # noqa: PLC0415
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    from pipeline.encoder.stack import keep_layers, layers_of  # noqa: PLC0415
    from pipeline.encoder.transformer import load_backbone  # noqa: PLC0415

    settings = EncoderSettings()
    spec = EncoderSpec.of(settings).model_copy(update={"layers": layers})
    encoder = load_backbone(spec.model_copy(update={"layers": 0}), place, torch.float32)
    if layers:
        keep_layers(encoder.model, layers)
    count = len(layers_of(encoder.model))
    upper = list(range(count - count // 3, count))
    torch.manual_seed(SEED)
    targets = [
        f"layers.{n}.{name}" for n in upper for name in ("self_attn.q_proj", "mlp.down_proj")
    ]
    adapted = get_peft_model(encoder.model, LoraConfig(r=16, lora_alpha=32, target_modules=targets))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.01)
    adapted.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    encoder.tokenizer.save_pretrained(str(folder))
    description = ModelDescription(
        format_version=FORMAT_VERSION,
        encoder=spec,
        backbone_identity="",
        first_layer=upper[0],
        train={},
    )
    (folder / MODEL_FILE).write_text(description.model_dump_json(indent=2), encoding="utf-8")
    return folder
