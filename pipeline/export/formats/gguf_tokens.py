"""The tokenizer of a model in the words of llama.cpp, which has its own code for every kind.

What llama.cpp would split otherwise than the tokenizer itself is refused: a vector of other
tokens is another vector. Names of the ways to split: ``tokenizer.ggml.pre`` in
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and llama.cpp's src/llama-vocab.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gguf import GGUFWriter, TokenType
from transformers import PreTrainedTokenizerBase

from pipeline.errors import InputError
from pipeline.export.formats.source import Tokens

_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LETTERS: Final = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Regular expressions of tokenizer.json -> the name by which llama.cpp knows the same splits.
_SPLITS: Final[Mapping[str, str]] = {
    _CONTRACTIONS + _LETTERS + r"|\p{N}{1,3}" + _REST: "llama-bpe",
    _CONTRACTIONS + _LETTERS + r"|\p{N}" + _REST: "qwen2",
}
_GPT2, _GPT2_DIGITS = "gpt-2", "smollm"


class _Vocabulary(NamedTuple):
    tokens: list[str]
    kinds: list[int]


def write_tokenizer(
    writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, tokens: Tokens, rows: int
) -> None:
    """Add the vocabulary of a model with ``rows`` embeddings, and how text is split.

    Raises:
        InputError: when llama.cpp cannot split a text as this tokenizer does.
    """
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = whole["model"]["type"]
    if kind not in _KINDS:
        message = f"llama.cpp has no tokenizer of the kind {kind}; export as onnx"
        raise InputError(message)
    _KINDS[kind](writer, whole, rows)
    named = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokens.pad,
             "unk": tokenizer.unk_token_id, "sep": tokenizer.sep_token_id,
             "mask": tokenizer.mask_token_id}  # fmt: skip
    # What the tokenizer adds by itself is what llama.cpp adds: one token before, one after.
    if len(tokens.opening) > 1 or len(tokens.closing) > 1:
        message = "llama.cpp adds one token at most before a text and after it; export as onnx"
        raise InputError(message)
    writer.add_add_bos_token(bool(tokens.opening))
    if tokens.opening:
        named["bos"] = tokens.opening[0]
    if tokens.closing:
        named["eos" if kind == "BPE" else "sep"] = tokens.closing[0]
    if kind == "BPE":
        writer.add_add_eos_token(bool(tokens.closing))
    adders = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "pad": writer.add_pad_token_id,
        "unk": writer.add_unk_token_id,
        "sep": writer.add_sep_token_id,
        "mask": writer.add_mask_token_id,
    }
    for name, number in named.items():
        if number is not None:
            adders[name](number)


def _byte_level(writer: GGUFWriter, whole: Mapping[str, Any], rows: int) -> None:
    pre = _splits(whole)
    vocabulary = _vocabulary(whole, rows)
    merges = [m if isinstance(m, str) else " ".join(m) for m in whole["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(merges)
    writer.add_add_space_prefix(value=False)


def _splits(whole: Mapping[str, Any]) -> str:
    """Return the name of the way in which a byte-level tokenizer splits text before merging."""
    normalizer, pre = whole["normalizer"], whole["pre_tokenizer"] or {}
    steps = pre["pretokenizers"] if pre.get("type") == "Sequence" else [pre]
    kinds = [step.get("type") for step in steps]
    found = None
    if kinds[-1:] == ["ByteLevel"] and not steps[-1]["add_prefix_space"]:
        if kinds == ["ByteLevel"] and steps[0]["use_regex"]:
            found = _GPT2
        elif kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"]:
            found = _GPT2_DIGITS if steps[1]["use_regex"] else None
        elif kinds == ["Split", "ByteLevel"] and not steps[1]["use_regex"]:
            found = _SPLITS.get(steps[0]["pattern"].get("Regex", ""))
    # NFC leaves almost every text as it is; other normalisations do not.
    if found is None or (normalizer and normalizer["type"] != "NFC"):
        message = (
            "llama.cpp cannot split text as this tokenizer does "
            f"({', '.join(map(str, kinds))}); export as onnx"
        )
        raise InputError(message)
    return found


def _word_piece(writer: GGUFWriter, whole: Mapping[str, Any], rows: int) -> None:
    """Add a vocabulary of words and their parts, marked as sentencepiece marks them."""
    normalizer = whole["normalizer"] or {}
    if normalizer.get("type") != "BertNormalizer" or not normalizer.get("lowercase"):
        message = "llama.cpp makes every text of a WordPiece tokenizer lower case; export as onnx"
        raise InputError(message)
    prefix = whole["model"]["continuing_subword_prefix"]
    found = _vocabulary(whole, rows)
    marked = [
        token
        if kind != TokenType.NORMAL
        else token.removeprefix(prefix)
        if token.startswith(prefix)
        else "\u2581" + token
        for token, kind in zip(*found, strict=True)
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(marked)
    writer.add_token_types(found.kinds)
    writer.add_token_type_count(2)


def _vocabulary(whole: Mapping[str, Any], rows: int) -> _Vocabulary:
    """Return tokens and their kinds by id; embeddings without a token get a name of their own."""
    by_id = {number: token for token, number in whole["model"]["vocab"].items()}
    added = {token["id"]: token for token in whole["added_tokens"]}
    tokens, kinds = [], []
    for number in range(rows):
        if number in added:
            special = added[number]["special"]
            tokens.append(added[number]["content"])
            kinds.append(TokenType.CONTROL if special else TokenType.USER_DEFINED)
        elif number in by_id:
            tokens.append(by_id[number])
            kinds.append(TokenType.NORMAL)
        else:
            tokens.append(f"[UNUSED{number}]")
            kinds.append(TokenType.UNUSED)
    return _Vocabulary(tokens, [int(kind) for kind in kinds])


_KINDS: Final = {"BPE": _byte_level, "WordPiece": _word_piece}
