"""Starts the processes of a job, and leaves it to them to say what went wrong.

python -m pipeline.training.launch FOLDER PROCESSES
"""

from __future__ import annotations

import logging
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(folder: str, processes: str) -> int:
    """Run ``torchrun`` on one machine; return 1 when a process failed."""
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    worker = ["-m", "pipeline.training.worker", folder]
    try:
        run.main(["--standalone", f"--nproc-per-node={processes}", *worker])
    except ChildFailedError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
