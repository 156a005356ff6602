"""What the tests of chat models share: settings, bodies, and answers of an endpoint."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pipeline.chat.endpoint import Answer, Endpoint
from pipeline.chat.faults import Fault
from pipeline.sections import ChatSettings
from tests.endpoint.talking import question, with_schema

QUESTION: Final = question(logprobs=True, top_logprobs=8, max_tokens=24, **with_schema())


def settings(url: str, **more: Any) -> ChatSettings:
    """Return settings for an endpoint of the tests that needs no key."""
    values = {"base_url": url, "model": "m", "key": "", "timeout": 5.0, "concurrency": 4}
    return ChatSettings.model_validate(values | more)


def sent(
    chosen: ChatSettings, *bodies: Mapping[str, Any], rest: float = 0.0
) -> list[Answer | Fault]:
    """Return what comes of ``bodies``, sent one after the other with a rest between them."""

    async def send() -> list[Answer | Fault]:
        found = []
        async with Endpoint("gpt", chosen) as endpoint:
            for body in bodies:
                found.append(await endpoint.send(body))
                await asyncio.sleep(rest)
        return found

    return asyncio.run(send())


@contextmanager
def deaf_port() -> Iterator[int]:
    """Give a port at which no connection is ever made, and none is refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]  # more than fit into the queue
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 - socket's own
            one.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
