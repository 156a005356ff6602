"""Checks of the model directory itself: nothing missing, nothing changed, the same backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from pipeline.diagnosis.finding import Finding, problem, sound, unknown
from pipeline.diagnosis.subject import Subject
from pipeline.diagnosis.texts import ODD
from pipeline.disk import file_digest
from pipeline.encoder import backbone, probe
from pipeline.encoder.adapters import WEIGHTS
from pipeline.encoder.loading import longest
from pipeline.encoder.spec import ADAPTER_FILE, MODEL_FILE
from pipeline.encoder.template import Template

AGAIN: Final = "copy the folder again from where it was trained, or train again"
_TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json")


def files(subject: Subject) -> Finding:
    """Every file is there and can be read, in a format that this version knows."""
    folder, described = subject.folder, subject.description
    names = [ADAPTER_FILE, WEIGHTS] if subject.has_adapter or described else ["config.json"]
    names += [MODEL_FILE, *_TOKENIZER] if described else []
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        return problem(f"{', '.join(missing)} missing", AGAIN, missing=len(missing))
    unread = [name for name in names if not _readable(folder / name)]
    if unread:
        return problem(f"{', '.join(unread)} cannot be read", AGAIN, unread=len(unread))
    kind = f"format {described.format_version}" if described else "a folder of others"
    return sound(f"{len(names)} files, {kind}", files=len(names))


def _readable(path: Path) -> bool:
    try:
        if path.suffix == ".json":
            return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
        with safe_open(path, "pt") as saved:
            return bool(list(saved.keys()))
    except (OSError, ValueError, SafetensorError):
        return False


def unchanged(subject: Subject) -> Finding:
    """The adapter's weights are those that were written."""
    if subject.recorded is None:
        return unknown("not recorded when the model was written")
    found, _ = subject.recorded
    if not found.adapter:
        return unknown("there is no adapter")
    now = file_digest(subject.folder / WEIGHTS)
    if now == found.adapter:
        return sound(f"{WEIGHTS} has the digest that was recorded, {now[:12]}")
    detail = f"{WEIGHTS} has digest {now[:12]}, and had {found.adapter[:12]} when it was written"
    remedy = f"{AGAIN}; if you changed it on purpose, delete {probe.PROBE_FILE}"
    return problem(detail, remedy)


def found_backbone(subject: Subject) -> Finding:
    """The backbone is where the description says."""
    identity = backbone.identity(subject.spec.backbone, subject.spec.revision)
    named = subject.spec.backbone + (f"@{subject.spec.revision}" if subject.spec.revision else "")
    detail = f"{named} is on the Hub" if "@" in identity else f"{named} is here"
    return sound(detail)


def same_backbone(subject: Subject) -> Finding:
    """The backbone's files are those that the adapter was trained on."""
    described = subject.description
    if described is None:
        return unknown("a folder of others does not say")
    now = backbone.identity(subject.spec.backbone, subject.spec.revision)
    if now == described.backbone_identity:
        return sound("the same files as when the adapter was trained")
    detail = f"{_changed(described.backbone_identity, now)} when the adapter was trained"
    remedy = (
        f"bring the old files of {subject.spec.backbone} back (or set encoder.backbone and "
        f"encoder.revision in {MODEL_FILE} to where they are), or train again on the new ones"
    )
    return problem(detail, remedy)


def _changed(before: str, now: str) -> str:
    """Say what of the two identities of a backbone differs."""
    try:
        old, new = json.loads(before), json.loads(now)
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    except (ValueError, AttributeError):
        return f"it is {now[:40]}, and was {before[:40]}"
    return f"{', '.join(names[:3])} differs from what it was"


def tokenizer(subject: Subject) -> Finding:
    """The folder's tokenizer, which other programs use, is the backbone's."""
    if not (subject.folder / _TOKENIZER[0]).is_file() or not subject.has_adapter:
        return unknown("the folder has no tokenizer of its own")
    own = AutoTokenizer.from_pretrained(str(subject.folder))
    trained = AutoTokenizer.from_pretrained(_place(subject))
    texts = [*probe.TEXTS, *(text.encode("utf-8", "replace").decode() for text in ODD.values())]
    wrong = _tokenizer_faults(own, trained, texts)
    if wrong:
        remedy = f"{AGAIN}; only programs other than this one use the folder's tokenizer"
        return problem("; ".join(wrong), remedy, faults=len(wrong))
    return sound(f"the same tokens as the backbone's on {len(texts)} texts, padding included")


def _tokenizer_faults(
    own: PreTrainedTokenizerBase, trained: PreTrainedTokenizerBase, texts: list[str]
) -> list[str]:
    faults = []
    if own.pad_token_id is None:
        faults.append("it has no padding token")
    elif trained.pad_token_id not in (None, own.pad_token_id):
        faults.append(f"it pads with {own.pad_token!r}, the backbone's with {trained.pad_token!r}")
    if own.padding_side != trained.padding_side:
        faults.append(f"it pads on the {own.padding_side}, the backbone's on the other side")
    differ = sum(own(text)["input_ids"] != trained(text)["input_ids"] for text in texts)
    if differ:
        faults.append(f"{differ} of {len(texts)} texts have other tokens than by the backbone's")
    return faults


def positions(subject: Subject) -> Finding:
    """The longest text, with its template, has no more tokens than the backbone takes."""
    place, spec = _place(subject), subject.spec
    options = {"revision": spec.revision} if spec.revision else {}
    limit = longest(AutoConfig.from_pretrained(place, **options))
    overhead = Template(AutoTokenizer.from_pretrained(place, **options), spec.template, 0).overhead
    whole = spec.max_length + overhead
    figures = {"max_length": spec.max_length, "overhead": overhead, "positions": limit}
    detail = f"{spec.max_length} tokens of text and {overhead} of template"
    if not spec.max_length or not limit or whole <= limit:
        room = f"the backbone takes {limit}" if limit else "the backbone sets no limit"
        return sound(f"{detail}; {room}", **figures)
    remedy = (
        f"set encoder.max_length in {MODEL_FILE} to what it was when the model was trained, "
        f"{limit - overhead} at most"
    )
    return problem(f"{detail}, but the backbone takes {limit}", remedy, **figures)


def _place(subject: Subject) -> str:
    return backbone.folder(subject.spec.backbone, subject.home)
