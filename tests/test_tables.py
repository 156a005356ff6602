from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.artifacts import Store
from pipeline.errors import ArtifactError
from pipeline.records import Document, Dropped, to_table

Make = Callable[..., Document]


def dropped(count: int, size: int = 3) -> list[Dropped]:
    return [
        Dropped(record_id=f"{n}", stage="x", reason=f"r{n % 3}", detail="d" * size)
        for n in range(count)
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=8), st.integers(1, 40))
def test_the_bytes_of_a_table_do_not_depend_on_how_its_rows_were_handed_over(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    rows = iter(dropped(sum(sizes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "GROUP_ROWS", group)
        with tables.RowWriter(folder / "parts.parquet", Dropped) as writer:
            for size in sizes:
                writer.write(itertools.islice(rows, size))
        tables.write(to_table(dropped(sum(sizes)), Dropped), folder / "whole.parquet")
    assert writer.rows == sum(sizes)
    assert (folder / "parts.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()


def test_row_groups_end_early_where_texts_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "GROUP_CHARACTERS", 1_000)
    with tables.RowWriter(tmp_path / "a.parquet", Dropped) as writer:
        writer.write(dropped(10, 400))
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 3, 3, 1]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_rows_come_back_in_order_a_few_at_a_time(tmp_path: Path, size: int) -> None:
    rows = dropped(30)
    with tables.RowWriter(tmp_path / "a.parquet", Dropped) as writer:
        writer.write(rows)
    batches = list(tables.read_rows(tmp_path / "a.parquet", Dropped, size))
    assert max(map(len, batches)) <= size
    assert list(itertools.chain.from_iterable(batches)) == rows


def test_an_artefact_written_and_read_in_batches_is_the_one_written_at_once(
    store: Store, document: Make
) -> None:
    rows = [document(f"Text {n}.") for n in range(50)]
    with store.create("documents") as whole:
        whole.write_rows(rows, Document)
    with store.create("documents") as parts, parts.writer(Document) as writer:
        for row in rows:
            writer.write([row])
    assert parts.reference == whole.reference
    assert parts.reference.rows == 50
    batches = store.batches(whole.reference, Document, size=9)
    assert list(itertools.chain.from_iterable(batches)) == rows


def test_damage_is_found_while_reading_in_batches(store: Store, document: Make) -> None:
    with store.create("documents") as draft:
        draft.write_rows([document(f"Text {n}.") for n in range(50)], Document)
    path = store.path(draft.reference) / "rows.parquet"
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"rows\.parquet cannot be read .* run again"):
        list(store.batches(draft.reference, Document))


def test_nothing_is_left_of_a_scratch_folder(store: Store) -> None:
    with store.scratch("clean") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()
    with pytest.raises(ValueError, match="stop"), store.scratch("clean") as folder:
        raise ValueError("stop")
    assert not folder.exists()
