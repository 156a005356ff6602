from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.sources.extraction import Extractor


@pytest.fixture(scope="session")
def extractor() -> Iterator[Extractor]:
    """One worker process for all tests that do not kill theirs."""
    with Extractor() as found:
        yield found
