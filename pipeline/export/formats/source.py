"""The model that is exported: opened once, in float32, with everything that decides its vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from pipeline.disk import file_digest
from pipeline.encoder.loading import longest
from pipeline.encoder.spec import ADAPTER_FILE, EncoderSpec, is_ours, read_description
from pipeline.encoder.template import Template
from pipeline.encoder.transformer import TransformerEncoder, load_model
from pipeline.errors import InputError
from pipeline.export.model import HUB_BACKBONES
from pipeline.records import Record, digest_of
from pipeline.settings import Home

WEIGHTS: Final = "adapter_model.safetensors"
_FILLERS: Final = ("0", "1 2 3 4", "e")  # texts that have no token in common at their ends


class Source(NamedTuple):
    """A model that is to be exported; its adapters are merged, its weights float32."""

    path: Path
    home: Home
    encoder: TransformerEncoder
    digest: str

    @property
    def spec(self) -> EncoderSpec:
        """How it makes vectors, with the longest text in numbers."""
        return self.encoder.spec

    @property
    def has_adapter(self) -> bool:
        """Whether it is adapters beside a backbone, and not a whole model."""
        return (self.path / ADAPTER_FILE).is_file()

    @property
    def public_backbone(self) -> str:
        """The backbone as others find it: a name on the Hub, or the folder it was given as."""
        return public_name(self.spec.backbone)


class Tokens(Record):
    """How token ids are made of a text: the template around it, and what happens to long ones.

    A row with more than ``limit`` ids belongs to a text that has to be cut, so that with the
    template it has at most ``limit``.
    """

    before: str
    after: str
    limit: int
    end: tuple[int, ...]  # the ids that the template's end always has, whatever the text
    opening: tuple[int, ...]  # ids that the tokenizer adds by itself, such as [CLS]
    closing: tuple[int, ...]
    pad: int


def open_source(path: Path, home: Home) -> Source:
    """Return the model in ``path``, ready to be exported.

    Raises:
        InputError: when a file is missing, or the model cannot be loaded.
        ArtifactError: when it is damaged or of a newer version.
    """
    if not path.is_dir():
        message = f"there is no model folder {path}"
        raise InputError(message)
    if is_ours(path):
        read_description(path)
        missing = [file for file in (ADAPTER_FILE, WEIGHTS) if not (path / file).is_file()]
        if missing:
            message = (
                f"the model {path} is incomplete: {' and '.join(missing)} missing; "
                "copy the whole folder again, or train it again"
            )
            raise InputError(message)
    return Source(path, home, load_model(path, home, torch.float32), digest(path))


def digest(path: Path) -> str:
    """Return the digest of the files that decide a model's vectors."""
    files = sorted([*path.glob("*.safetensors"), *path.glob("*.json")])
    return digest_of(json.dumps({file.name: file_digest(file) for file in files}))


def public_name(backbone: str) -> str:
    """Return the name of a backbone on the Hub, or the absolute path of a folder."""
    if backbone in HUB_BACKBONES:
        return HUB_BACKBONES[backbone][0]
    folder = Path(backbone).expanduser()
    return str(folder.resolve()) if folder.is_dir() else backbone


def built_in(public: str) -> str:
    """Return the built-in backbone of this name on the Hub; any other name as it is."""
    names = {name: ours for ours, (name, _) in HUB_BACKBONES.items()}
    return names.get(public, public)


def tokens_of(source: Source) -> Tokens:
    """Return how the ids of a text are made, in words that any other program can follow."""
    tokenizer, spec = source.encoder.tokenizer, source.spec
    before, _, after = spec.template.partition("{text}")
    whole, plain = (_ids(tokenizer, "x", special=special) for special in (True, False))
    opening = next((n for n in range(len(whole) + 1) if whole[n : n + len(plain)] == plain), 0)
    end = _common_end([_ids(tokenizer, before + text + after) for text in _FILLERS])
    return Tokens(
        before=before,
        after=after,
        limit=spec.max_length + Template(tokenizer, spec.template, spec.max_length).overhead,
        end=tuple(end),
        opening=tuple(whole[:opening]),
        closing=tuple(whole[opening + len(plain) :]),
        pad=source.encoder.pad_id,
    )


def context(source: Source) -> int:
    """Return how many tokens the model takes; where nothing limits it, those that are used."""
    return longest(source.encoder.model.config) or tokens_of(source).limit


def refuse_opened_layers(source: Source, name: str) -> None:
    """Refuse a model some of whose layers see later tokens, which only our own code does.

    Raises:
        InputError: says which format can hold it.
    """
    if source.spec.bidirectional_from:
        message = (
            f"{source.path} lets its layers from {source.spec.bidirectional_from} on see later "
            f"tokens, which {name} cannot say; export it as onnx"
        )
        raise InputError(message)


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - a JSON value
    """Write ``value`` readably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True) -> list[int]:
    found = tokenizer(text, add_special_tokens=special, return_attention_mask=False, verbose=False)
    ids: list[int] = found["input_ids"]
    return ids


def _common_end(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the longest end that all share."""
    count = 0
    while count < min(map(len, rows)) and len({row[-count - 1] for row in rows}) == 1:
        count += 1
    return list(rows[0][len(rows[0]) - count :])
