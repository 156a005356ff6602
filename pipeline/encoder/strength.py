"""Adapters made weaker or stronger after training: the vectors at each strength, and a copy.

The strength s multiplies what the adapter adds. LoRA and rank-stabilised LoRA add a multiple of the
product B A to a frozen weight W, and B becomes s B. DoRA (Liu et al., arXiv 2402.09353) also says
how long each row of the sum is; that length m becomes ||W|| + s (m - ||W||), norms by row, and B
becomes s B. For all of them 0 is the backbone and 1 the model as trained. All of it is in the
adapter's tensors, so whatever reads adapters reads one of any strength.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoder import Vectors, probe
from pipeline.encoder.adapters import WEIGHTS
from pipeline.encoder.layers import SplitEncoder
from pipeline.encoder.loading import fast_dtype
from pipeline.encoder.spec import ADAPTER_FILE, MODEL_FILE, is_ours, read_description, spec_of
from pipeline.encoder.transformer import Start, TransformerEncoder, load_backbone, load_model
from pipeline.errors import InputError
from pipeline.settings import Home

STRONGEST: Final = 2.0
MAGNITUDE: Final = ".lora_magnitude_vector"

_FACTORS: Final = (".lora_B", ".lora_embedding_B")
_KEPT: Final = (".lora_A", ".lora_embedding_A")
_OF_THE_FOLDER: Final = ("MANIFEST.json", "measured.json")  # the store's words on the original

Lengths = Callable[[str], Tensor]


def check(strength: float) -> None:
    """Refuse a strength that is not from 0 to 2.

    Raises:
        InputError: names it.
    """
    if not 0.0 <= strength <= STRONGEST:
        message = f"the strength of an adapter is {strength}: give a number from 0 to {STRONGEST:g}"
        raise InputError(message)


def at_strengths(
    folder: Path,
    home: Home,
    texts: Sequence[str],
    strengths: Iterable[float],
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[float, Vectors]]:
    """Yield each strength and the unit-length vectors of ``texts``, (texts, dimensions), at it.

    Layers below the adapters run once for all strengths; of the others only weights change, added
    up in float32 and rounded to ``dtype`` as in a model that is loaded.

    Raises:
        InputError: when ``folder`` has no adapter, one that no strength is defined for, or a
            strength is not from 0 to 2.
    """
    wanted = list(strengths)
    for strength in wanted:
        check(strength)
    _refuse_others(folder)
    dtype = dtype or fast_dtype()
    spec = spec_of(folder)
    encoder = load_backbone(spec, home, dtype)
    source = load_model(folder, home, torch.float32, merge=False).model
    places = _places(source, encoder.model)
    first = read_description(folder).first_layer if is_ours(folder) else 0
    split, rows = SplitEncoder(encoder, encoder.model, first), encoder.token_ids(texts)
    start = _start(encoder, rows)
    hidden = split.lower([row[start.length :] for row in rows], "lower layers", start)
    for strength in wanted:
        for place in places:
            place.set(strength)
        yield strength, split.vectors(hidden, f"strength {strength:g}", _start(encoder, rows))


def scaled_copy(folder: Path, strength: float, out: Path, home: Home | None = None) -> None:
    """Write the model in ``folder`` into ``out`` with its adapter ``strength`` times as strong.

    ``out`` says so in ``angle_adapt.json``, which is written last: what is cut off is no model. The
    copy of a copy has the product of their strengths. Vectors of the trained model to check by
    (`pipeline.encoder.probe`) are left out unless ``strength`` is 1.

    Args:
        folder: a model directory of ours; it stays as it is.
        strength: from 0 to 2; at 1 the weights are the same bits.
        out: a folder that is empty or not there yet.
        home: where the backbone is; only DoRA asks for it, the lengths of its rows.

    Raises:
        InputError: when ``folder`` is no model of ours or its adapter has no strength, when
            ``strength`` is not from 0 to 2, or ``out`` is not empty.
    """
    check(strength)
    described = read_description(folder)
    _refuse_others(folder)
    if out.exists() and any(out.iterdir()):
        message = f"{out} is not empty: give a new folder for the copy"
        raise InputError(message)
    with safe_open(folder / WEIGHTS, "pt") as saved:
        about, state = saved.metadata(), {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118 - no mapping
    lengths = _row_lengths(folder, home) if any(MAGNITUDE in name for name in state) else None
    scaled = {name: _scaled(name, value, strength, lengths) for name, value in state.items()}
    untrue = () if strength == 1.0 else (probe.PROBE_FILE,)
    left = shutil.ignore_patterns(WEIGHTS, MODEL_FILE, *_OF_THE_FOLDER, *untrue)
    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=left)
    save_file(scaled, out / WEIGHTS, about)
    copy = described.model_copy(update={"strength": described.strength * strength})
    (out / MODEL_FILE).write_text(copy.model_dump_json(indent=2) + "\n", encoding="utf-8")


def leave_probe(folder: Path, home: Home) -> None:
    """Write what the model in ``folder`` gives now, for whoever checks it later."""
    encoder = load_model(folder, home)
    rows, vectors = encoder.token_ids(probe.TEXTS), encoder.encode(probe.TEXTS, "probe")
    probe.write(folder, vectors, rows, str(encoder.model.dtype))


def _refuse_others(folder: Path) -> None:
    """Refuse what has no strength: no adapter, another kind, or weights trained as a whole."""
    if not (folder / ADAPTER_FILE).is_file() or not (folder / WEIGHTS).is_file():
        message = f"{folder} has no adapter as safetensors, so there is no strength to change"
        raise InputError(message)
    with safe_open(folder / WEIGHTS, "pt") as saved:
        names = list(saved.keys())
    known = (*_FACTORS, *_KEPT, MAGNITUDE)
    other = [name for name in names if not any(part in name for part in known)]
    if other:
        message = (
            f"no strength is defined for the adapter in {folder}: {other[0]} is not of LoRA, "
            "rank-stabilised LoRA or DoRA"
        )
        raise InputError(message)


@torch.no_grad()
def _scaled(name: str, value: Tensor, strength: float, lengths: Lengths | None) -> Tensor:
    """Return one tensor of an adapter at a strength, in its own type; at 1 it is the same bits."""
    if strength == 1.0:
        return value.clone()
    if any(part in name for part in _FACTORS):
        return (value.float() * strength).to(value.dtype)
    if MAGNITUDE in name and lengths is not None:
        frozen = lengths(name).float()
        return (frozen + strength * (value.float() - frozen)).to(value.dtype)
    return value.clone()


@torch.no_grad()
def _start(encoder: TransformerEncoder, rows: list[list[int]]) -> Start:
    return encoder.start(rows)


class _Place(NamedTuple):
    """A layer with an adapter, as trained, and where its merged weight is to be."""

    layer: Any  # a LoraLayer, which is a Module too
    target: Any
    trained: dict[str, Tensor]

    @torch.no_grad()
    def set(self, strength: float) -> None:
        """Put the weight at this strength into the target; peft does the sum."""

        def lengths(_: str) -> Tensor:
            return row_lengths(self.layer)

        for name, parameter in self.layer.named_parameters():
            if name in self.trained:
                parameter.copy_(_scaled(f".{name}", self.trained[name], strength, lengths))
        base = self.layer.get_base_layer()
        before = {name: value.detach().clone() for name, value in base.named_parameters()}
        if strength:  # DoRA's m * W / ||W|| is W but for rounding
            self.layer.merge(safe_merge=True)
        for name, value in base.named_parameters():
            self.target.get_parameter(name).copy_(value)
            value.copy_(before[name])
        self.layer.merged_adapters.clear()


def _places(source: PreTrainedModel, target: PreTrainedModel) -> list[_Place]:
    return [
        _Place(
            layer,
            target.get_submodule(name),
            {
                key: value.detach().clone()
                for key, value in source.get_submodule(name).named_parameters()
                if key.startswith("lora_")
            },
        )
        for name, layer in source.named_modules()
        if isinstance(layer, LoraLayer)
    ]


@torch.no_grad()
def row_lengths(layer: Any) -> Tensor:  # noqa: ANN401 - a LoraLayer is a Module too
    """Return ||W|| by row of a layer's frozen weight, in the shape of DoRA's magnitudes."""
    (magnitude,) = layer.lora_magnitude_vector.values()
    nothing = torch.zeros(())
    found: Tensor = magnitude.get_weight_norm(layer.get_base_layer().weight, nothing, 0.0)
    return found


def _row_lengths(folder: Path, home: Home | None) -> Lengths:
    """Return the lengths of the backbone's rows, by the name of an adapter's tensor."""
    if home is None:
        message = f"the adapter in {folder} is DoRA's: its strength needs the backbone, give a home"
        raise InputError(message)
    model = load_model(folder, home, torch.float32, merge=False).model

    def lengths(name: str) -> Tensor:
        path = name.partition(MAGNITUDE)[0].removeprefix("base_model.model.")
        return row_lengths(model.get_submodule(path))

    return lengths
