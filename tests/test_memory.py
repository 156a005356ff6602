"""Memory that is done with leaves the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEBIBYTE = 2**20
BLOCKS = 400

SCRIPT = f"""
from pipeline.memory import give_back


def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


blocks = [bytearray(b"x") * 100_000 for _ in range({BLOCKS} * 10)]
last = bytearray(b"x") * 100_000  # above the others in the heap: else the C library trims itself
full = held()
del blocks
kept = held()
give_back()
print(full, kept, held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_blocks_are_given_back_to_the_system() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"MALLOC_MMAP_THRESHOLD_": str(32 * MEBIBYTE)},  # as after a while in a long process
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    full, kept, left = map(int, ran.stdout.split())
    if kept < full / 2:
        pytest.skip("this C library gives memory back by itself")
    assert left < full / 4
