"""A pipeline of four small stages, run by the real flow, graph and store.

Environment: ``TINY_LOG`` names a file that gets a line for every stage that really ran;
``TINY_FAIL``, ``TINY_STOP`` and ``TINY_HANG`` name a stage that raises, is interrupted, or waits to
be killed; ``TINY_PARTIAL`` says what the stage "mine" could not complete.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pipeline import graph
from pipeline.errors import InputError
from pipeline.graph import Stage

STAGES = {
    stage.name: stage
    for stage in (
        Stage("collect", 1, "tiny.collect", ("collect",), (), ("source",)),
        Stage("mine", 1, "tiny.mine", ("mine",), ("collect",)),
        Stage("train", 1, "tiny.train", ("train",), ("mine",)),
        Stage("evaluate", 1, "tiny.evaluate", ("evaluate",), ("collect", "train")),
    )
}

FURTHER = {"score": Stage("score", 1, "tiny.score", (), ("train",), ("gold",))}


def install() -> None:
    """Make these the stages of the pipeline in this process."""
    graph.STAGES = STAGES  # type: ignore[misc]
    graph.FURTHER.update(FURTHER)


def note(stage: str) -> None:
    """Write down that ``stage`` runs, then fail or hang where the environment says so."""
    with Path(os.environ["TINY_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{stage}\n")
    if os.environ.get("TINY_FAIL") == stage:
        message = f"{stage} was told to fail:\nsee TINY_FAIL"
        raise InputError(message)
    if os.environ.get("TINY_STOP") == stage:
        raise KeyboardInterrupt
    if os.environ.get("TINY_HANG") == stage:
        time.sleep(120)
