"""Lines of a batch's files: questions on their way out, and what came back, read without trust.

Questions are written to disk as they come and read again when they are sent, so that a hundred
thousand of them need no memory.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

from pipeline.chat.endpoint import LARGEST
from pipeline.chat.faults import Fault, Kind, from_status
from pipeline.chat.trips import Ask
from pipeline.disk import disk_errors
from pipeline.journal.entries import Cost, Question

_NO_STATUS: Final = 599  # one that says nothing of whether the work was done
# What a provider says of a question without a status, beside codes that mean something anywhere.
_BY_CODE: Final[dict[str, tuple[Kind, str]]] = {
    "batch_expired": ("refused", "batch_expired"),
    "batch_cancelled": ("refused", "batch_cancelled"),
    "request_timeout": ("ambiguous", "timed_out"),
}
_CUSTOM_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([^"\\]+)"')


class Heard(NamedTuple):
    """A line that came back: an answer's body as it came, or why there is none.

    ``key`` is "" where the line does not say of which question it is. ``whole`` is false where it
    is cut off or otherwise no JSON; ``raw`` is the line as it came.
    """

    key: str
    raw: bytes
    body: bytes | None = None
    fault: Fault | None = None
    whole: bool = True


class _Place(NamedTuple):
    question: Question
    reserve: Cost
    start: int
    size: int


class Spool:
    """Questions on disk, as lines of a batch's file; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url  # of a request, as lines name it
        self._places: dict[str, _Place] = {}

    def __enter__(self) -> Self:
        with disk_errors(Path(tempfile.gettempdir())):
            self._file: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, ask: Ask) -> None:
        """Keep a question."""
        key = ask.question.key
        row = {"custom_id": key, "method": "POST", "url": self._url, "body": ask.body}
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        with disk_errors(Path(tempfile.gettempdir())):
            start = self._file.seek(0, 2)
            self._file.write(line)
        self._places[key] = _Place(ask.question, ask.reserve, start, len(line))

    def size(self, key: str) -> int:
        """Return the bytes of a question's line."""
        return self._places[key].size

    def reserve(self, key: str) -> Cost:
        """Return the most that a question can cost outside of a batch."""
        return self._places[key].reserve

    def ask(self, key: str) -> Ask:
        """Return a question as it was given."""
        place = self._places[key]
        return Ask(place.question, json.loads(self._line(place))["body"], place.reserve)

    def file(self, keys: Iterable[str]) -> IO[bytes]:
        """Return a file with the lines of ``keys``, to be closed by the caller."""
        with disk_errors(Path(tempfile.gettempdir())):
            made: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            made.writelines(self._line(self._places[key]) for key in keys)
            made.seek(0)
        return made

    def _line(self, place: _Place) -> bytes:
        self._file.seek(place.start)
        return self._file.read(place.size)


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; one that is too long to be an answer is cut off.

    Only a line feed ends a line: JSON may hold the other characters that end lines elsewhere.
    """
    while line := file.readline(LARGEST):
        yield line.removesuffix(b"\n")
        while not line.endswith(b"\n") and (line := file.readline(LARGEST)):
            pass


def read_line(raw: bytes) -> Heard:
    """Return what a line of an output or error file says; never raises."""
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        found = _CUSTOM_ID.search(raw)
        key = found[1].decode("utf-8", "replace") if found else ""
        return Heard(key, raw, whole=False)
    row = row if isinstance(row, dict) else {}
    key, response, error = (row.get(name) for name in ("custom_id", "response", "error"))
    key = key if isinstance(key, str) else ""
    status = response.get("status_code") if isinstance(response, dict) else None
    if isinstance(response, dict) and type(status) is int:
        body = _bytes(response.get("body"))
        if 200 <= status < 300:
            return Heard(key, raw, body)
        return Heard(key, raw, fault=from_status(status, {}, body.decode("utf-8", "replace")))
    if isinstance(error, dict):
        return Heard(key, raw, fault=_of_code(error))
    return Heard(key, raw, raw)


def _bytes(body: Any) -> bytes:  # noqa: ANN401 - JSON of any shape
    """Return a body as an endpoint would have sent it."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return json.dumps(body, separators=(",", ":")).encode()


def _of_code(error: dict[str, Any]) -> Fault:
    fault = from_status(_NO_STATUS, {}, json.dumps({"error": error}))
    kind, reason = _BY_CODE.get(str(error.get("code")), (fault.kind, fault.reason))
    return fault._replace(kind=kind, reason=reason)
