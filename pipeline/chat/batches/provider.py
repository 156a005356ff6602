"""The Batch API of one endpoint: a call goes out once, and what it brings or a fault comes back.

These calls are few and slow, and all but one may be made again, so the client of `openai` makes
them. The one that may not, which begins a batch, is made once by whoever looks after the batch.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import httpx2
import openai

from pipeline.chat.faults import Fault, from_exception, from_status
from pipeline.chat.prices import host
from pipeline.disk import disk_errors
from pipeline.errors import AngleAdaptError
from pipeline.journal.batches import Batch
from pipeline.records import digest_of
from pipeline.settings import secret

if TYPE_CHECKING:
    from pipeline.sections import ChatSettings

T = TypeVar("T")
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
LARGEST_FILE: Final = 190 * 10**6  # bytes; OpenAI takes 200 MB
TRANSFER_SECONDS: Final = 3_600.0  # for a file as a whole
LOOKED_AT: Final = 100  # batches in a page of the list
# While Azure looks through a file, no batch can begin with it.
_UNREADY: Final = frozenset({"pending", "running"})
_LOOK_AGAIN: Final = 5.0  # seconds
_NO_STATUS: Final = 599  # one that says nothing of whether the work was done


class Counts(NamedTuple):
    """How many questions of a batch there are, are answered, and have failed."""

    total: int
    completed: int
    failed: int


class Remote(NamedTuple):
    """A batch as its provider tells of it; ids are "" and counts None where nothing is said."""

    id: str
    status: str
    files: tuple[str, ...] = ()  # that of answers and that of errors, as far as there are any
    counts: Counts | None = None
    fault: Fault | None = None  # why it failed as a whole
    input_file: str = ""
    created: float = 0.0
    runner: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come."""
        return self.status in OVER


class Provider:
    """The Batch API at an endpoint, with its files; an asynchronous context manager."""

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._key = key_of(settings)
        self.host = host(settings.base_url)
        self.account = digest_of("account", settings.base_url, self._key)
        self.path = "/chat/completions" if settings.api_version else "/v1/chat/completions"

    async def __aenter__(self) -> Self:
        settings = self._settings
        shared: dict[str, Any] = {
            "api_key": self._key or "none",
            "max_retries": 0,
            "timeout": httpx2.Timeout(settings.timeout),
        }
        if settings.api_version:
            self._client: openai.AsyncOpenAI = openai.AsyncAzureOpenAI(
                azure_endpoint=settings.base_url, api_version=settings.api_version, **shared
            )
        else:
            self._client = openai.AsyncOpenAI(base_url=settings.base_url, **shared)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._client.close()

    async def upload(self, file: IO[bytes], runner: str) -> str | Fault:
        """Upload a file of questions; return its id once it can be used."""
        file.seek(0)
        return await self._told(self._uploaded(file, f"{runner}.jsonl"), TRANSFER_SECONDS)

    async def begin(self, batch: Batch) -> Remote | Fault:
        """Begin a batch with the file it has. Calling this twice makes two batches."""
        return await self._told(
            self._seen(
                self._client.batches.create(
                    input_file_id=batch.input_file,
                    endpoint=self.path,  # type: ignore[arg-type]  # Azure has one of its own
                    completion_window="24h",
                    metadata={"runner": batch.runner},
                )
            )
        )

    async def look(self, name: str) -> Remote | Fault:
        """Return a batch as it is now."""
        return await self._told(self._seen(self._client.batches.retrieve(name)))

    async def find(self, batch: Batch) -> list[Remote] | Fault:
        """Return the batches that began with a batch's file or in its name, the oldest first."""
        return await self._told(self._found(batch), TRANSFER_SECONDS)

    async def cancel(self, name: str) -> Remote | Fault:
        """Have a batch stopped; what is answered then will be in its files."""
        return await self._told(self._seen(self._client.batches.cancel(name)))

    async def download(self, name: str) -> IO[bytes] | Fault:
        """Return a file of the provider, to be closed by the caller."""
        with disk_errors(Path(tempfile.gettempdir())):
            file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        fault = await self._told(self._downloaded(name, file), TRANSFER_SECONDS)
        if fault:
            file.close()
            return fault
        file.seek(0)
        return file

    async def _uploaded(self, file: IO[bytes], name: str) -> str:
        made = await self._client.files.create(
            file=(name, file, "application/jsonl"), purpose="batch"
        )
        while made.status in _UNREADY:
            await asyncio.sleep(_LOOK_AGAIN)
            made = await self._client.files.retrieve(made.id)
        return str(made.id)

    async def _downloaded(self, name: str, file: IO[bytes]) -> None:
        async with self._client.files.with_streaming_response.content(name) as response:
            async for part in response.iter_bytes():
                with disk_errors(Path(tempfile.gettempdir())):
                    file.write(part)

    async def _seen(self, call: Awaitable[Any]) -> Remote:
        return _remote(await call)

    async def _found(self, batch: Batch) -> list[Remote]:
        found = []
        async for one in self._client.batches.list(limit=LOOKED_AT):
            remote = _remote(one)
            if remote.input_file == batch.input_file or remote.runner == batch.runner:
                found.append(remote)
        return sorted(found, key=lambda remote: (remote.created, remote.id))

    async def _told(self, call: Awaitable[T], seconds: float = 0.0) -> T | Fault:
        try:
            async with asyncio.timeout(seconds or self._settings.timeout):
                return await call
        except AngleAdaptError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this call alone
            return _fault_of(error)


def key_of(settings: ChatSettings) -> str:
    """Return an endpoint's key; "" where it needs none."""
    return secret(settings.key).strip() if settings.key else ""


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, openai.APIStatusError):
        response = error.response
        return from_status(response.status_code, response.headers, response.text)
    if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Fault("refused", "cannot_connect", detail=str(error.__cause__)[:300])
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return Fault("ambiguous", "timed_out")
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
        return Fault("ambiguous", "connection_lost", detail=str(error.__cause__ or error)[:300])
    return from_exception(error)


def _remote(found: Any) -> Remote:  # noqa: ANN401 - the client gives what came, not what it promises
    """Return what is told of a batch.

    Raises:
        TypeError: when it is no batch.
    """
    name, status = getattr(found, "id", None), getattr(found, "status", None)
    if not isinstance(name, str) or not isinstance(status, str):
        message = "what came is no batch"
        raise TypeError(message)
    files = (getattr(found, field, None) for field in ("output_file_id", "error_file_id"))
    metadata, created = getattr(found, "metadata", None), getattr(found, "created_at", None)
    return Remote(
        id=name,
        status=status.lower(),
        files=tuple(file for file in files if isinstance(file, str) and file),
        counts=_counts(getattr(found, "request_counts", None)),
        fault=_failure(getattr(found, "errors", None)),
        input_file=str(getattr(found, "input_file_id", None) or ""),
        created=float(created) if isinstance(created, int | float) else 0.0,
        runner=str(metadata.get("runner", "")) if isinstance(metadata, dict) else "",
    )


def _counts(found: Any) -> Counts | None:  # noqa: ANN401 - as above
    values = [getattr(found, field, None) for field in Counts._fields]
    whole = [value for value in values if type(value) is int]
    return Counts(*whole) if len(whole) == len(values) else None


def _failure(found: Any) -> Fault | None:  # noqa: ANN401 - as above
    errors = getattr(found, "data", None) or []
    if not errors:
        return None
    code, message = (str(getattr(errors[0], field, None) or "") for field in ("code", "message"))
    said = json.dumps({"error": {"code": code, "message": message}})
    fault = from_status(_NO_STATUS, {}, said)
    if fault.kind == "fatal":
        return fault
    return fault._replace(kind="refused", reason=code or "batch_failed")
