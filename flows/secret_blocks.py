"""Keys from Prefect's Secret blocks, for what needs one that is not in the environment.

A key is named by the environment variable it would be in: ``OPENAI_API_KEY``. A block of that name
in Prefect's spelling, ``openai-api-key``, stands in for it. It is put into this process's
environment only, so it is no parameter, no result and no part of any key of a cache.
"""

from __future__ import annotations

import logging
import os
from typing import cast

from prefect.blocks.system import Secret

from pipeline.config import DomainConfig
from pipeline.settings import secret

log = logging.getLogger(__name__)


def load(config: DomainConfig) -> None:
    """Load the keys that ``config`` needs and the environment does not have."""
    wanted = {chat.key for chat in config.chat.values()}
    if config.collect.source == "github":
        wanted.add(config.collect.github.token)
    for name in sorted(wanted - {""}):
        if secret(name):
            continue
        block = name.lower().replace("_", "-")
        try:
            os.environ[name] = str(cast("Secret[str]", Secret.load(block)).get())
        except ValueError:  # there is no such block; who needs it says what is missing
            log.debug("there is no Secret block %s", block)
