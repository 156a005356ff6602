"""Parquet tables of records, written and read a few rows at a time.

The bytes of a table depend on its rows alone, not on how many were handed over at once: row groups
end after a fixed number of rows, or before that when their text fills a fixed size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Generic, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.records import R, from_table, schema_of, to_table

GROUP_ROWS: Final = 2_048
GROUP_CHARACTERS: Final = 32 * 1024**2
READ_ROWS: Final = 1_024


class RowWriter(Generic[R]):
    """Writes the rows of one table; use as a context manager."""

    def __init__(self, path: Path, record: type[R]) -> None:
        self.rows = 0
        self._record = record
        self._held: list[R] = []
        self._characters = 0
        self._writer = _writer(path, schema_of(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, rows: Iterable[R]) -> None:
        """Take more rows; they reach the disk a group at a time."""
        for row in rows:
            self._held.append(row)
            self._characters += sum(len(v) for v in vars(row).values() if isinstance(v, str))
            if len(self._held) == GROUP_ROWS or self._characters >= GROUP_CHARACTERS:
                self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(to_table(self._held, self._record))
        self.rows += len(self._held)
        self._held, self._characters = [], 0


def write(table: pa.Table, path: Path) -> None:
    """Write a table that is in memory as a whole."""
    with _writer(path, table.schema) as writer:
        if table.num_rows:  # an empty row group would be other bytes than none
            writer.write_table(table, row_group_size=GROUP_ROWS)


def read(path: Path) -> pa.Table:
    """Return a whole table, page checksums verified.

    Raises:
        ArtifactError: when it is missing or damaged.
    """
    with _readable(path):
        return pq.read_table(path, page_checksum_verification=True)


def read_rows(path: Path, record: type[R], size: int = READ_ROWS) -> Iterator[list[R]]:
    """Yield the rows of a table, at most ``size`` at a time, page checksums verified.

    Raises:
        ArtifactError: when it is missing or damaged; rows before the damage were yielded.
    """
    with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):  # read as one, they would be fetched ahead
            for batch in file.iter_batches(size, row_groups=[group], use_threads=False):
                yield from_table(pa.Table.from_batches([batch]), record)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = f"{path} cannot be read ({error}); run again to compute it anew"
        raise ArtifactError(message) from error


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
