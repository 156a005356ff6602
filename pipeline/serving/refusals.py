"""Refusals in the shape of OpenAI's errors (https://platform.openai.com/docs/guides/error-codes)."""

from __future__ import annotations

from typing import Final

from pydantic_core import to_json

_TYPES: Final[dict[int, str]] = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class Refusal(Exception):  # noqa: N818 - reads as what it is
    """A request that is answered with an error; ``param`` names the field of the body.

    ``retry_after`` is in seconds; 0: trying again does not help.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        retry_after: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after = retry_after

    def body(self) -> bytes:
        """Return the JSON of the error."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return to_json({"error": error})

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the status."""
        headers = {"retry-after": str(self.retry_after)} if self.retry_after else {}
        return headers | ({"www-authenticate": "Bearer"} if self.status == 401 else {})


def not_ready() -> Refusal:
    """Return the refusal of a server whose model is still on its way."""
    message = "the model is being loaded; try again in a moment"
    return Refusal(503, message, code="model_not_ready", retry_after=2)


def no_such_model(asked: str, known: str) -> Refusal:
    """Return the refusal of a model's name that is not the one served."""
    message = f"there is no model {asked[:100]!r} here, only {known!r}"
    return Refusal(404, message, param="model", code="model_not_found")


def failed() -> Refusal:
    """Return the refusal that tells nothing of what went wrong inside."""
    return Refusal(500, "the server failed at this request; its log says why", code="internal")
