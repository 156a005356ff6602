"""What one request may ask for, and how much may wait."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.records import Record


class Limits(Record):
    """Limits of the endpoint; beyond them a request is refused, never cut."""

    max_texts: int = Field(2_048, ge=1, description="texts in a request")
    max_chars: int = Field(100_000, ge=1, description="characters in a text")
    max_bytes: int = Field(16 * 2**20, ge=1_024, description="bytes of a request's body")
    max_queue: int = Field(8_192, ge=1, description="texts that wait, of all requests")
    max_batch: int = Field(0, ge=0, description="tokens in a batch; 0: what suits the device")
    body_seconds: float = Field(30.0, gt=0, description="seconds in which a body must arrive")
    drain_seconds: int = Field(60, ge=1, description="seconds that the end waits for answers")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_queue < self.max_texts:
            message = (
                f"max_queue is {self.max_queue}, but one request may hold {self.max_texts} texts: "
                "raise max_queue or lower max_texts"
            )
            raise ValueError(message)
        return self
