"""Trains with a limit on memory that one chunk does not fit in; run as a program."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from pipeline.encoder.spec import EncoderSpec
from pipeline.encoder.transformer import load_backbone
from pipeline.sections import TrainSettings
from pipeline.settings import Home
from pipeline.training.examples import Example
from pipeline.training.fit import Trainer
from pipeline.training.state import copied

MIB = 2**20


def pairs(count: int, words: int) -> list[Example]:
    return [
        Example(f"{i} " + "open a file " * words, f"sort {i} " * words, (i % 5) / 4)
        for i in range(count)
    ]


def trainer(backbone: str, folder: Path, chunk: int, words: int) -> Trainer:
    spec = EncoderSpec(backbone=backbone, template='"{text}":"', pooling="last", max_length=400)
    settings = TrainSettings(
        epochs=2, batch_pairs=16, learning_rate=3e-3, lora_depth=1.0, chunk_tokens=chunk,
        graph_tokens=chunk, precision="float32",
    )  # fmt: skip
    encoder = load_backbone(spec, Home(folder), torch.float32)
    return Trainer(encoder, pairs(16, words), settings)


def limited(extra: int) -> None:
    """Let this process have ``extra`` more bytes than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(backbone: str, folder: Path, allowed: int) -> dict[str, object]:
    torch.set_num_threads(1)
    small = trainer(backbone, folder, 256, words=60)
    small.run()
    large = trainer(backbone, folder, 16_384, words=60)
    limited(allowed * MIB)
    try:
        large.run()
    except Exception as error:  # noqa: BLE001 - told to the test
        return {"error": f"{type(error).__name__}: {error}"}
    one, other = copied(small.model), copied(large.model)
    return {
        "chunk_tokens": large.memory.chunk_tokens,
        "difference": max(float((one[name] - other[name]).abs().max()) for name in one),
        "moved": max(float(one[name].abs().max()) for name in one if "lora_B" in name),
        "steps": large.history.steps,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))) + "\n")
