"""Text out of pages and files from outside, in a process that can be killed.

    with Extractor(Limits(seconds=10)) as extractor:
        found = extractor.extract(body, "html", url, charset_of_the_header)

Parsers of HTML, PDF and DOCX can be made to run for ever or to take all memory, so they run in one
worker process with a limit on time and on address space for each page. A worker that oversteps is
killed and the next page gets a new one.
"""

from pipeline.sources.extraction.outcome import (
    REASONS,
    Extracted,
    Failed,
    Kind,
    Limits,
)
from pipeline.sources.extraction.process import Extractor

__all__ = ["REASONS", "Extracted", "Extractor", "Failed", "Kind", "Limits"]
