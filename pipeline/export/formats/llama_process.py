"""The process of llama.cpp's embedding server: prints its URL, ends when stdin closes.

python llama_process.py FILE TOKENS
"""

from __future__ import annotations

import sys
from typing import Final

# Of several texts at once the last one in a batch is split where the batch is full, and all but
# last-token pooling of a causal model then reads a part of it.
PARALLEL: Final = 1


def serve(file: str, tokens: int) -> None:
    """Serve the embeddings of ``file`` for texts of at most ``tokens`` tokens."""
    import xllamacpp  # noqa: PLC0415 - only in the process that serves

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.embedding = True
    params.n_parallel, params.n_ctx = PARALLEL, PARALLEL * tokens
    # A text is pooled as a whole, so it has to fit in one batch.
    params.n_batch = params.n_ubatch = tokens
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.cpuparams.n_threads = 2
    params.verbosity = -1
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
