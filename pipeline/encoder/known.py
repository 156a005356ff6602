"""What a backbone was made for: template, pooling and attention, read without loading a weight.

In this order: a table of published AnglE models, by the last part of their name; what a folder in
the layout of sentence-transformers says of itself; the kind of model. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.encoder.backbone import BUILT_IN
from pipeline.errors import InputError


class MadeFor(NamedTuple):
    """How a model's vectors are to be made."""

    template: str
    pooling: str
    attention: str = "native"
    bidirectional_from: int = 0


PLAIN: Final = "{text}"
# The prompt of AnglE's LLaMA models (angle_emb's Prompts.A), after PromptEOL (arXiv 2307.16645).
ONE_WORD: Final = 'Summarize sentence "{text}" in one word:"'

_BERT: Final = MadeFor(PLAIN, "cls")
_LLAMA: Final = MadeFor(ONE_WORD, "last")

# As their authors say to use them (README of github.com/SeanLee97/AnglE, cards on the Hub). UAE
# and mxbai put a prompt before the queries of a retrieval, and nothing before other texts.
KNOWN: Final[Mapping[str, MadeFor]] = {
    "uae-large-v1": _BERT,
    "uae-code-large-v1": _BERT,
    "pubmed-angle-base-en": _BERT,
    "pubmed-angle-large-en": _BERT,
    "mxbai-embed-large-v1": _BERT,
    "mxbai-embed-2d-large-v1": _BERT,
    "angle-bert-base-uncased-nli-en-v1": MadeFor(PLAIN, "cls_mean"),
    "angle-llama-7b-nli-20231027": _LLAMA,
    "angle-llama-7b-nli-v2": _LLAMA,
    "angle-llama-13b-nli": _LLAMA,
    "bellm-llama-7b-nli": MadeFor(
        'The representative word for sentence {text} is:"', "last", "bidirectional", 31
    ),
}

# Models that are trained to fill in masked tokens, and see both ways by themselves.
_ENCODERS: Final = frozenset(
    {
        "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
        "eurobert", "modernbert", "mpnet", "nomic_bert", "roberta", "roberta-prelayernorm",
        "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip

# Names of poolings in 1_Pooling/config.json, older and newer form.
_POOLINGS: Final[Mapping[str, str]] = {
    "cls_token": "cls", "cls": "cls",
    "mean_tokens": "mean", "mean": "mean",
    "lasttoken": "last",
    "weightedmean_tokens": "weighted_mean", "weightedmean": "weighted_mean",
}  # fmt: skip
_HARMLESS: Final = ("Transformer", "Pooling", "Normalize", "Dropout")


def made_for(name: str, revision: str = "") -> MadeFor:
    """Return what the backbone ``name`` was made for.

    Raises:
        InputError: when nothing is known of it, or it asks for something that is not done here;
            says what to set.
    """
    if name in BUILT_IN:
        return _LLAMA
    found = by_name(name) or _by_layout(name, revision) or _by_kind(name, revision)
    if found is None:
        message = (
            f"nothing says how {name!r} makes vectors (no config.json can be read): "
            "give encoder.template, encoder.pooling and encoder.attention"
        )
        raise InputError(message)
    return found


def by_name(name: str) -> MadeFor | None:
    """Return the entry of ``KNOWN`` for a Hub name, a folder, or a folder of the Hub's cache."""
    parts = Path(name).parts
    cached = [part.rpartition("--")[2] for part in parts if part.startswith("models--")]
    for part in (*cached, *parts[-1:]):
        if part.lower() in KNOWN:
            return KNOWN[part.lower()]
    return None


def _by_layout(name: str, revision: str) -> MadeFor | None:
    """Return what the files of sentence-transformers say."""
    modules = read_json(name, "modules.json", revision)
    if not modules:
        return None
    kinds = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in modules}
    refused = [kind for kind in kinds if kind not in _HARMLESS]
    if refused or "Pooling" not in kinds:
        reason = f"its module {refused[0]} is not applied here" if refused else "it does not pool"
        message = f"{name!r} says how it makes vectors, but {reason}: give encoder.pooling"
        raise InputError(message)
    pooling = read_json(name, f"{kinds['Pooling']}/config.json", revision) or {}
    prompts = read_json(name, "config_sentence_transformers.json", revision) or {}
    prompt = (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or ""
    return MadeFor(str(prompt) + PLAIN, _pooling(name, pooling))


def _pooling(name: str, config: Mapping[str, Any]) -> str:
    given = config.get("pooling_mode", [])
    prefix = "pooling_mode_"
    flags = [key.removeprefix(prefix) for key in config if key.startswith(prefix) and config[key]]
    modes = flags or ([given] if isinstance(given, str) else list(given))
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        message = (
            f"{name!r} pools by {modes or 'nothing'}, which is not done here: give encoder.pooling"
        )
        raise InputError(message)
    return _POOLINGS[modes[0]]


def _by_kind(name: str, revision: str) -> MadeFor | None:
    config = read_json(name, "config.json", revision)
    if config is None:
        return None
    return _BERT if _fills_in(config) else _LLAMA


def language_model(name: str, revision: str = "") -> tuple[str, str]:
    """Return what tells how likely a text is: the backbone, or the built-in one in its place.

    Models that were trained to fill in masked tokens know no likelihood of a text. Name and
    revision are returned.
    """
    config = None if name in BUILT_IN else read_json(name, "config.json", revision)
    if config is not None and _fills_in(config):
        return next(iter(BUILT_IN)), ""
    return name, revision


def _fills_in(config: Mapping[str, Any]) -> bool:
    heads = config.get("architectures") or []
    masked = any(str(head).endswith("ForMaskedLM") for head in heads)
    return masked or config.get("model_type") in _ENCODERS


def read_json(name: str, file: str, revision: str = "") -> Any:  # noqa: ANN401 - a JSON value
    """Return a JSON file of a folder or of a Hub name; None when there is none or it is unread."""
    folder = Path(name).expanduser()
    path = folder / file if folder.is_dir() else _from_hub(name, file, revision)
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None


def _from_hub(name: str, file: str, revision: str) -> Path | None:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - only for names of the Hub

    try:
        return Path(hf_hub_download(name, file, revision=revision or None))
    except (OSError, ValueError):
        return None
