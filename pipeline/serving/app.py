"""The routes of the endpoint, and what stands between a request and the engine."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.serving import embeddings, refusals
from pipeline.serving.described import Served, described
from pipeline.serving.embeddings import Asked, Model
from pipeline.serving.engine import Engine, Full, named
from pipeline.serving.limits import Limits
from pipeline.serving.metrics import CONTENT_TYPE, Metrics
from pipeline.serving.refusals import Refusal

log = logging.getLogger(__name__)

JSON: Final = "application/json"
AWAY: Final = 499  # a client that did not wait for its answer; nobody sees it but the metrics
MANY: Final = 32  # texts whose answer is written aside, since it would hold up the others
_CONTENT: Final = {JSON: {"schema": embeddings.Body.model_json_schema()}}
_SCHEMA: Final = {"requestBody": {"required": True, "content": _CONTENT}}


class Service(NamedTuple):
    """What is served: the model's name, when it was made, the key ("": none), and the limits."""

    name: str
    created: int  # seconds since 1970
    key: str
    limits: Limits


class Desk:
    """Answers requests for vectors; without an engine, the model is still being loaded."""

    def __init__(self, service: Service) -> None:
        self.service, self.metrics = service, Metrics()
        self.engine: Engine | None = None

    def open(self, engine: Engine) -> None:
        """Let requests in."""
        self.engine = engine
        self.metrics.ready(lambda: engine.waiting)

    def ready(self) -> Engine:
        """Return the engine.

        Raises:
            Refusal: 503 while the model is being loaded.
        """
        if self.engine is None:
            raise refusals.not_ready()
        return self.engine

    def check_key(self, request: Request) -> None:
        """Refuse a request without the key, where there is one.

        Raises:
            Refusal: 401.
        """
        key = self.service.key.encode()
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1"), key)
        if key and not (same and scheme.lower() == "bearer"):
            message = "the key is missing or wrong: send it as `Authorization: Bearer KEY`"
            raise Refusal(401, message, code="invalid_api_key")

    async def embeddings(self, request: Request) -> Response:
        """Return the vectors that a request asks for, or say why not."""
        begin = time.monotonic()
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            response = refused(refusal)
        except ClientDisconnect:
            response = Response(status_code=AWAY)
        except Exception as error:  # noqa: BLE001 - the client sees nothing of it
            log.error("a request failed: %s", named(error))  # noqa: TRY400 - no client's text
            response = refused(refusals.failed())
        self.metrics.requests.labels(str(response.status_code)).inc()
        self.metrics.seconds.observe(time.monotonic() - begin)
        return response

    async def _answer(self, request: Request) -> Response:
        self.check_key(request)
        engine, limits = self.ready(), self.service.limits
        model = Model(self.service.name, engine.encoder.dimensions)
        asked = embeddings.read(await _body(request, limits), model, limits)
        return Response(await self._encoded(engine, request, asked), media_type=JSON)

    async def _encoded(self, engine: Engine, request: Request, asked: Asked) -> bytes:
        """Return the answer's body; the texts' places are free again when the client goes away."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def done() -> None:
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(_settle, ended)

        unique = dict.fromkeys(asked.texts)
        try:
            job = engine.submit(list(unique), done)
        except Full as full:
            message = "too many texts wait to be encoded; try again later"
            wait = max(1, round(full.seconds))
            raise Refusal(429, message, code="queue_full", retry_after=wait) from None
        try:
            await _until(ended, request)
        finally:
            if not ended.done():
                ended.cancel()
                engine.forget(job)
        if job.failed:
            raise refusals.failed()
        place = {text: index for index, text in enumerate(unique)}
        rows = [place[text] for text in asked.texts]
        tokens = sum(job.tokens[row] for row in rows)
        self.metrics.texts.inc(len(rows))
        self.metrics.tokens.inc(tokens)
        write = partial(embeddings.answer, job.vectors[rows], asked, self.service.name, tokens)
        return await asyncio.to_thread(write) if len(rows) > MANY else write()


async def _body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        Refusal: 408 when it does not arrive, 413 when it is too large.
        ClientDisconnect: when the client went away.
    """
    size = int(request.headers.get("content-length", "0")[:20])  # h11 refuses what is no number
    if "expect" not in request.headers or size <= limits.max_bytes:
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _kept(request, limits.max_bytes)
        except TimeoutError:
            message = f"the body did not arrive within {limits.body_seconds:g} seconds"
            raise Refusal(408, message, code="body_timeout") from None
        if len(body) <= limits.max_bytes:
            return body
    message = f"the body is too large: a request may have {limits.max_bytes} bytes"
    raise Refusal(413, message, code="body_too_large")


async def _kept(request: Request, most: int) -> bytes:
    """Return a body, or a little more than ``most`` bytes of one that is longer.

    The rest is read too: a client that is still sending would not see the refusal.
    """
    body = bytearray()
    async for part in request.stream():
        body += part[: most + 1 - len(body)]
    return bytes(body)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _until(ended: asyncio.Future[None], request: Request) -> None:
    """Wait for the end of a job.

    Raises:
        ClientDisconnect: when the client went away before.
    """
    leaves = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({ended, leaves}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaves.cancel()
    if not ended.done():
        raise ClientDisconnect


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refused(refusal: Refusal) -> Response:
    """Return the response of a refusal."""
    return Response(refusal.body(), refusal.status, refusal.headers(), media_type=JSON)


def shown(content: dict[str, object]) -> Response:
    """Return the response with some JSON."""
    return Response(to_json(content), media_type=JSON)


def application(
    desk: Desk, lifespan: Callable[[FastAPI], AsyncIterator[None]] | None = None
) -> FastAPI:
    """Return the ASGI application around a desk."""
    app = FastAPI(
        title="angle-adapt",
        docs_url=None,  # the pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=asynccontextmanager(lifespan) if lifespan else None,
    )
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(Refusal, _refused)
    app.post("/v1/embeddings", openapi_extra=_SCHEMA)(desk.embeddings)
    _add_models(app, desk)
    _add_operations(app, desk)
    return app


def _add_models(app: FastAPI, desk: Desk) -> None:
    def model_card(request: Request) -> dict[str, object]:
        desk.check_key(request)
        encoder = desk.ready().encoder
        service = Served(desk.service.name, desk.service.created, encoder.dimensions)
        return described(service, encoder.spec)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        return shown({"object": "list", "data": [model_card(request)]})

    @app.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        card = model_card(request)
        if name != desk.service.name:
            raise refusals.no_such_model(name, desk.service.name)
        return shown(card)


def _add_operations(app: FastAPI, desk: Desk) -> None:
    @app.get("/health/live")
    async def live() -> Response:
        return shown({"status": "alive"})

    @app.get("/health")
    @app.get("/health/ready")
    async def ready() -> Response:
        desk.ready()
        return shown({"status": "ready"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(desk.metrics.page(), media_type=CONTENT_TYPE)


async def _refused(_: Request, error: Exception) -> Response:
    """Answer with a refusal that a route raised."""
    return refused(error if isinstance(error, Refusal) else refusals.failed())


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer what no route takes."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = f"{request.method} {request.url.path}"[:200]
    refusal = Refusal(status, f"{words}: there is no such address or method", code="not_found")
    return refused(refusal)
