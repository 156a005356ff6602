"""Loading a pretrained model: safetensors only, no remote code, and errors that say what to do."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from pipeline.encoder import backbone, known
from pipeline.encoder.template import Template
from pipeline.errors import InputError, ResourceError
from pipeline.settings import Home

log = logging.getLogger(__name__)

# Its bars would hide ours; what it reports of a checkpoint is checked in `pretrained`.
transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()

_LONGEST: Final = 512  # tokens of a text, where nobody says a length
QUANTIZATIONS: Final = ("none", "nf4")
# Models that count positions from the id of the padding token on.
_OFFSET: Final = frozenset(
    {
        "camembert", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
        "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip


class Pretrained(NamedTuple):
    """A model and its tokenizer, from one folder or Hub name."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class Request:
    """Which model to load, and for texts of which length."""

    name: str
    revision: str = ""
    template: str = "{text}"
    max_length: int = 0  # tokens of the longest text, template not counted; 0: as many as fit
    dtype: torch.dtype = torch.float32
    bidirectional: bool = False  # every layer of a decoder sees later tokens too
    quantization: str = "none"


def device() -> torch.device:
    """Return the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_dtype() -> torch.dtype:
    """Return bfloat16 where the processor multiplies it in hardware, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if supported else torch.float32


def attention(max_length: int) -> str | None:
    """Return the attention to load a model with: plain matrices are faster for short texts.

    None leaves it to the model: the fused kernel, where its attention can be fused.

    On two cores, texts of 30 tokens: a tenth to a fifth more tokens a second than the fused kernel,
    forward and backward. The fused one needs less memory and wins on a GPU and for long texts.
    """
    return "eager" if device().type == "cpu" and max_length <= 256 else None


def pretrained(auto: type, request: Request, home: Home) -> Pretrained:
    """Return the model of ``auto``, such as ``AutoModel``, in evaluation mode on ``device()``.

    Raises:
        InputError: when there is no such model with safetensors, it is incomplete, its tokenizer
            is unfit, or the texts are longer than it takes. The last before weights are read.
        ResourceError: when a package that ``quantization`` needs is missing.
    """
    options: dict[str, Any] = {"trust_remote_code": False}
    if request.revision:
        options["revision"] = request.revision
    quantized = _quantization(request)
    try:
        place = backbone.folder(request.name, home)
        config = AutoConfig.from_pretrained(place, **options)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        _check_tokenizer(tokenizer, request)
        _check_length(config, tokenizer, request)
        if request.bidirectional:
            config.is_causal = False
        model, report = auto.from_pretrained(  # type: ignore[attr-defined]
            place,
            config=config,
            dtype=request.dtype,
            attn_implementation=attention(request.max_length or _LONGEST),
            use_safetensors=True,
            output_loading_info=True,
            **quantized,
            **options,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"cannot load the backbone {request.name!r}: {reason}"
        raise InputError(message) from error
    _check_complete(request.name, report)
    return Pretrained(model if quantized else model.to(device()), tokenizer)


def _quantization(request: Request) -> dict[str, Any]:
    """Return the arguments that quantise the frozen weights (QLoRA, arXiv 2305.14314)."""
    if request.quantization == "none":
        return {}
    if request.quantization not in QUANTIZATIONS:
        message = f"no quantization {request.quantization!r}; there are {', '.join(QUANTIZATIONS)}"
        raise InputError(message)
    if importlib.util.find_spec("bitsandbytes") is None:
        message = "quantization nf4 needs bitsandbytes: pip install 'angle-adapt[qlora]'"
        raise ResourceError(message)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": nf4, "device_map": {"": device()}}


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, request: Request) -> None:
    """Refuse a tokenizer without offsets, and give one without a padding token another's id.

    Which token pads does not matter: padding is on the right, and masked where it could be seen.
    """
    if not tokenizer.is_fast:
        message = f"the tokenizer of {request.name!r} has no tokenizer.json: save it as a fast one"
        raise InputError(message)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token


def longest(config: PreTrainedConfig) -> int:
    """Return how many tokens a model takes; 0 when nothing limits them."""
    text = config.get_text_config()
    limit: int = getattr(text, "max_position_embeddings", None) or 0
    return limit - (text.pad_token_id + 1 if text.model_type in _OFFSET else 0)


def _check_length(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, request: Request
) -> None:
    limit, overhead = longest(config), Template(tokenizer, request.template, 0).overhead
    if request.max_length and 0 < limit < request.max_length + overhead:
        message = (
            f"encoder.max_length is {request.max_length} and the template takes {overhead} tokens, "
            f"but {request.name!r} takes {limit}: "
            f"set encoder.max_length to {limit - overhead} or less"
        )
        raise InputError(message)


def room_for_text(loaded: Pretrained, template: str, name: str) -> int:
    """Return how many tokens of a text fit, at most 512 with the template."""
    layout = known.read_json(name, "sentence_bert_config.json") or {}
    limits = [longest(loaded.model.config), int(layout.get("max_seq_length") or 0), _LONGEST]
    overhead = Template(loaded.tokenizer, template, 0).overhead
    return min(limit for limit in limits if limit) - overhead


def _check_complete(name: str, report: dict[str, Any]) -> None:
    """Refuse a checkpoint that leaves weights to chance; the head over [CLS] is not used."""
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    wrong = sorted(str(key) for key in report["mismatched_keys"])
    if missing or wrong:
        message = (
            f"the weights of {name!r} do not fit its config.json: {len(missing)} tensors are "
            f"missing, {len(wrong)} have another shape, such as {(missing + wrong)[0]}"
        )
        raise InputError(message)
