"""Crawls until it is killed: ``python -m tests.sources.crawl.killing SHELF SETTINGS``."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.sections import CollectSettings
from pipeline.sources import web

if __name__ == "__main__":
    web.refresh(CollectSettings.model_validate_json(sys.argv[2]), Path(sys.argv[1]))
