"""llama.cpp's own server on a loopback port, asked for embeddings, and ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np

from pipeline.encoder import Vectors
from pipeline.errors import InputError, ResourceError

_AT_ONCE: Final = 16  # texts a request
_SECONDS: Final = 600.0
_BLOCK: Final = 64


def embed(file: Path, limit: int, texts: Sequence[str | list[int]]) -> Vectors:
    """Return the server's vectors of texts or token ids, in its own number of dimensions.

    ``limit`` is the number of tokens of the longest.

    Raises:
        ResourceError: when the server is not installed.
        InputError: when it does not load the file, or refuses a text.
    """
    with _serving(file, limit) as url, httpx2.Client(timeout=_SECONDS, trust_env=False) as client:
        found: list[list[float]] = []
        for start in range(0, len(texts), _AT_ONCE):
            found += _asked(client, url, texts[start : start + _AT_ONCE])
    return np.asarray(found, dtype=np.float32)


def room(limit: int) -> int:
    """Return the size of the server's batches for texts of at most ``limit`` tokens.

    A text is pooled as a whole, so it has to fit. Where the size is no multiple of the number of
    texts served at once and the pooling is the mean, llama.cpp fails an assertion as it starts.
    """
    return (limit // _BLOCK + 1) * _BLOCK


def _asked(client: httpx2.Client, url: str, texts: Sequence[str | list[int]]) -> list[list[float]]:
    reply = client.post(f"{url}/v1/embeddings", json={"input": list(texts)})
    if reply.status_code != 200:
        message = f"llama.cpp's server refused the texts ({reply.status_code}): {reply.text[:200]}"
        raise InputError(message)
    data: list[dict[str, Any]] = reply.json()["data"]
    return [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]


@contextmanager
def _serving(file: Path, limit: int) -> Iterator[str]:
    if find_spec("xllamacpp") is None:
        message = (
            "checking a GGUF file needs llama.cpp's server: pip install 'angle-adapt[llama-cpp]'"
        )
        raise ResourceError(message)
    script = Path(__file__).with_name("llama_process.py")
    command = [sys.executable, "-P", str(script), str(file), str(room(limit))]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            # The library may print before the URL.
            url = next((line for line in process.stdout if line.startswith("http://")), "").strip()
            if not url:
                message = f"llama.cpp's server does not load {file}"
                raise InputError(message)
            yield url
        finally:
            process.kill()
