"""What a model says of itself to those who ask for the list of models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipeline.encoder.spec import EncoderSpec


class Served(NamedTuple):
    """A model as clients see it: its name, when it was made, and how long its vectors are."""

    name: str
    created: int  # seconds since 1970
    dimensions: int


def described(served: Served, spec: EncoderSpec) -> dict[str, object]:
    """Return the entry of a model in OpenAI's list, with what decides its vectors.

    Of a backbone in a folder only the last name is shown: where things lie is nobody's business.
    """
    backbone = Path(spec.backbone)
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "angle-adapt",
        "dimensions": served.dimensions,
        "max_length": spec.max_length,
        "template": spec.template,
        "pooling": spec.pooling,
        "backbone": backbone.name if backbone.is_dir() else spec.backbone,
    }
