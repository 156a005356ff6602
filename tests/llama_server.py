"""llama.cpp's own server on a loopback port, as a process of its own: a real endpoint, no key.

python -m tests.llama_server      prints its URL once it listens; ends when stdin closes
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.encoder.backbone import BUILT_IN

CHECKOUT: Final = Path(__file__).resolve().parents[1]
PARALLEL: Final = 2
CONTEXT: Final = 2_048  # tokens for each request


def gguf() -> Path:
    """Return the file of the default backbone inside its package."""
    module, file, _ = BUILT_IN["smollm2-135m-instruct"]
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / file


@contextmanager
def start() -> Iterator[str]:
    """Yield the base URL of a server that ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.llama_server"],
        cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the server ended with code {process.wait(20)}"
            yield line.strip()
        finally:
            process.kill()


def serve() -> None:
    import xllamacpp  # noqa: PLC0415 - only in the process that serves

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf())
    params.n_parallel, params.n_ctx = PARALLEL, PARALLEL * CONTEXT
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.cpuparams.n_threads = 2
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)  # noqa: T201 - read by who started it
    sys.stdin.read()


if __name__ == "__main__":
    serve()
