"""An encoder as MTEB asks for one, with a description that claims nothing it does not know.

MTEB 2 (Enevoldsen et al. 2025, arXiv 2502.13595; https://embeddings-benchmark.github.io/mteb)
hands over batches of texts and wants vectors and similarities back. It calls a model
``organisation/name`` and tells revisions of it apart: the revision here is the encoder's identity,
so results of another training, pooling or precision are never taken for those of this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.encoder import Encoder, Vectors
from pipeline.encoder.spec import EncoderSpec
from pipeline.errors import InputError
from pipeline.records import digest_of

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta
    from numpy.typing import NDArray

ORGANISATION: Final = "local"  # of models that have none

_PLAIN: Final = "{text}"
_FOLDER_NAME: Final = re.compile(r"[\w.-]{1,200}", re.ASCII)


class MtebModel:
    """Any `Encoder` behind MTEB's protocol of an encoder; it fits by its methods alone.

    The encoder's template stands around queries and documents alike; instructions that a task of
    MTEB proposes are not added, because no model of ours was trained with them.
    """

    def __init__(self, encoder: Encoder, name: str, adapted_from: str = "") -> None:
        self._encoder = encoder
        self.mteb_model_meta = describe(encoder, name, adapted_from)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,  # noqa: ANN401 - MTEB's TaskMetadata, of which the name is read
        hf_split: str,  # noqa: ARG002 - of MTEB's protocol, as below
        hf_subset: str,  # noqa: ARG002
        prompt_type: Any = None,  # noqa: ANN401 - MTEB's PromptType: query or document
        **_: object,
    ) -> Vectors:
        """Return unit-length vectors, shape (texts, dimensions), float32, in the order given.

        Raises:
            InputError: when the inputs hold no text, as those of an image task.
        """
        texts: list[str] = []
        for batch in inputs:
            if "text" not in batch:
                message = f"{task_metadata.name} asks for {', '.join(batch)}: only text is encoded"
                raise InputError(message)
            texts += batch["text"]
        part = f", {prompt_type.value}" if prompt_type is not None else ""
        return self._encoder.encode(texts, label=f"{task_metadata.name}{part}")

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return the cosine of each left with each right vector, shape (left, right)."""
        left, right = np.atleast_2d(np.asarray(embeddings1)), np.atleast_2d(np.asarray(embeddings2))
        cosines: NDArray[Any] = left @ right.T  # of unit vectors
        return cosines

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return the cosine of each left vector with the right one of the same row, (rows,)."""
        left, right = np.asarray(embeddings1), np.asarray(embeddings2)
        cosines: NDArray[Any] = np.einsum("ij,ij->i", left, right)
        return cosines


def describe(encoder: Encoder, name: str, adapted_from: str = "") -> ModelMeta:
    """Return MTEB's description of an encoder; what is not known of it stays empty.

    Training data in particular: MTEB reads an empty set as "trained on none of my tasks", which
    nobody can promise of a backbone.
    """
    from mteb.models.model_meta import ModelMeta, ScoringFunction  # noqa: PLC0415 - seconds

    spec = getattr(encoder, "spec", None)
    known = spec if isinstance(spec, EncoderSpec) else None
    return ModelMeta(
        loader=None,
        name=model_name(name),
        revision=_revision(encoder.identity),
        release_date=None,
        languages=None,
        **_sizes(encoder),
        max_tokens=known.max_length or None if known else None,
        embed_dim=getattr(encoder, "dimensions", None),
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"] if hasattr(encoder, "model") else [],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=known.template != _PLAIN if known else None,
        training_datasets=None,
        adapted_from=adapted_from or None,
    )


def model_name(name: str) -> str:
    """Return ``organisation/name`` in characters that a folder may have, whatever ``name`` is."""
    parts = [re.sub(r"[^\w.-]+", "-", part).strip("-.") for part in name.split("/")]
    parts = [part for part in parts if part]
    if len(parts) == 2 and not name.startswith(("/", ".", "~")):
        return "/".join(parts)
    return f"{ORGANISATION}/{parts[-1] if parts else 'model'}"


def _revision(identity: str) -> str:
    return identity if _FOLDER_NAME.fullmatch(identity) else digest_of(identity)


def _sizes(encoder: Encoder) -> dict[str, Any]:
    """Return counts of parameters and their memory in MiB, where there is a model to count."""
    model: Any = getattr(encoder, "model", None)
    if not hasattr(model, "parameters"):
        return {"n_parameters": None, "memory_usage_mb": None}
    parameters = list(model.parameters())
    used = sum(one.numel() * one.element_size() for one in parameters)
    return {
        "n_parameters": sum(one.numel() for one in parameters),
        "n_embedding_parameters": model.get_input_embeddings().weight.numel(),
        "memory_usage_mb": round(used / 2**20, 1),
    }
