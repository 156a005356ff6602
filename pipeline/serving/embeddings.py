"""The body of a request for vectors, and of its answer, as OpenAI's clients write and read them.

The format: https://platform.openai.com/docs/api-reference/embeddings. base64 holds the vector as
little-endian float32, which is what OpenAI's own client asks for unless told otherwise.
"""

from __future__ import annotations

import base64
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from pipeline.encoder import Vectors
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import Refusal, no_such_model

_TOKENS: Final = (
    "token ids are not understood: they are another tokenizer's, so send the texts themselves "
    "(LangChain: OpenAIEmbeddings(..., check_embedding_ctx_length=False))"
)


class Body(BaseModel):
    """What a client sends; a field that is not here is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    input: Any = Field(json_schema_extra={"anyOf": [
        {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]})  # fmt: skip
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None


class Asked(NamedTuple):
    """A request that can be answered; ``dimensions`` are the leading ones of the model's."""

    texts: list[str]
    base64: bool
    dimensions: int


class Model(NamedTuple):
    """The name under which clients ask for the model, and how long its vectors are."""

    name: str
    dimensions: int


def read(body: bytes, model: Model, limits: Limits) -> Asked:
    """Return what a body asks for.

    Raises:
        Refusal: 400, 404 or 413; names the field.
    """
    try:
        found = Body.model_validate_json(body)
    except ValidationError as error:
        raise _explained(error) from None
    if found.model != model.name:
        raise no_such_model(found.model, model.name)
    dimensions = found.dimensions or model.dimensions
    if dimensions > model.dimensions:
        message = f"dimensions: {dimensions} is more than the {model.dimensions} of {model.name!r}"
        raise Refusal(400, message, param="dimensions")
    return Asked(_texts(found.input, limits), found.encoding_format == "base64", dimensions)


def _explained(error: ValidationError) -> Refusal:
    """Return the first thing that is wrong, without what was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:100]
    if first["type"] == "extra_forbidden":
        known = ", ".join(Body.model_fields)
        return Refusal(400, f"{field}: there is no such field, only {known}", param=field)
    return Refusal(400, f"{field}: {first['msg']}" if field else first["msg"], param=field or None)


def _texts(given: object, limits: Limits) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise Refusal(400, "input: give a text, or a list of at least one text", param="input")
    if len(texts) > limits.max_texts:
        message = f"input: {len(texts)} texts; a request may hold {limits.max_texts}"
        raise Refusal(413, message, param="input", code="too_many_texts")
    for index, text in enumerate(texts):
        where = "input" if isinstance(given, str) else f"input[{index}]"
        if not isinstance(text, str):
            problem = _TOKENS if _are_tokens(text) else "give a text"
            raise Refusal(400, f"{where}: {problem}", param=where)
        if len(text) > limits.max_chars:
            message = f"{where}: {len(text)} characters; a text may have {limits.max_chars}"
            raise Refusal(413, message, param=where, code="text_too_long")
    return texts


def _are_tokens(value: object) -> bool:
    ids = value if isinstance(value, list) else [value]
    return bool(ids) and all(type(one) is int for one in ids)


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """Return the leading ``dimensions`` of unit-length vectors, at unit length again."""
    if dimensions == vectors.shape[1]:
        return vectors
    leading = vectors[:, :dimensions]
    norms = np.linalg.norm(leading, axis=1, keepdims=True)
    shorter: Vectors = leading / np.maximum(norms, np.finfo(np.float32).tiny)
    return shorter


def answer(vectors: Vectors, asked: Asked, model: str, tokens: int) -> bytes:
    """Return the JSON for ``vectors``, shape (texts, the model's dimensions), in their order."""
    rows = shortened(vectors, asked.dimensions).astype("<f4", copy=False)
    shown: list[Any]
    if asked.base64:
        shown = [base64.b64encode(row.tobytes()).decode("ascii") for row in rows]
    else:
        shown = rows.tolist()
    data = [
        {"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"object": "list", "data": data, "model": model, "usage": usage})
