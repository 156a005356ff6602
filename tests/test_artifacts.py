from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import MANIFEST, IndexEntry, Reference, Store, canonical, stage_key
from pipeline.disk import write_atomically
from pipeline.errors import ArtifactError, ResourceError
from pipeline.records import Document
from pipeline.settings import Home

Make = Callable[..., Document]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def commit(store: Store, rows: list[Document], note: str = "") -> Reference:
    with store.create("documents") as draft:
        draft.write_rows(rows, Document)
        draft.write_json({"note": note})
    return draft.reference


def entry(reference: Reference, key: str = "collect-1") -> IndexEntry:
    return IndexEntry(key=key, stage="collect", reference=reference, seconds=1.0)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


# keys


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return tuple(reordered(item) for item in value)
    return value


@given(JSON)
def test_equal_values_have_one_key_however_they_are_spelled(value: Any) -> None:
    assert stage_key("train", 1, settings=value) == stage_key("train", 1, settings=reordered(value))


@given(JSON)
def test_the_canonical_form_is_its_own(value: Any) -> None:
    once = canonical(value)
    assert canonical(once) == once


def test_everything_that_decides_a_result_is_in_its_key() -> None:
    base = stage_key("train", 1, settings={"epochs": 1})
    others = {
        stage_key("mine", 1, settings={"epochs": 1}),
        stage_key("train", 2, settings={"epochs": 1}),
        stage_key("train", 1, settings={"epochs": 2}),
        stage_key("train", 1, settings={"epochs": 1.0}),
        stage_key("train", 1, settings={"epochs": True}),
        stage_key("train", 1, settings={"epoch": 1}),
        stage_key("train", 1, inputs={"epochs": 1}),
    }
    assert len(others | {base}) == 8


@pytest.mark.parametrize("value", [Path("x"), {1, 2}, object(), b"x", lambda: None, 1j])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="may not enter a cache key"):
        stage_key("train", 1, settings={"x": [value]})


def test_a_key_holds_the_digest_of_an_input_but_not_its_place() -> None:
    here = Reference(kind="documents", digest="d", uri="file:///here", rows=1)
    there = here.model_copy(update={"uri": "file:///there"})
    other = here.model_copy(update={"digest": "e"})
    assert stage_key("mine", 1, inputs=here) == stage_key("mine", 1, inputs=there)
    assert stage_key("mine", 1, inputs=here) != stage_key("mine", 1, inputs=other)


# artefacts


def test_what_is_written_is_read_back(store: Store, document: Make) -> None:
    rows = [document("First text."), document("Second text.")]
    reference = commit(store, rows, "hello")
    assert store.rows(reference, Document) == rows
    assert store.json(reference) == {"note": "hello"}
    assert (reference.rows, store.problem(reference)) == (2, "")


def test_the_same_data_written_twice_is_one_folder(store: Store, document: Make) -> None:
    first, second = (commit(store, [document("Text.")]) for _ in range(2))
    assert first == second
    assert len(list(store.root.glob("objects/*/*"))) == 1


def test_an_interrupted_draft_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.create("documents") as draft:
        draft.write_json({"note": "half"})
        raise KeyboardInterrupt
    assert not list(store.root.rglob("*.json"))
    with pytest.raises(ArtifactError, match="still being written"):
        _ = draft.reference


@pytest.mark.parametrize("name", ["rows.parquet", "summary.json", MANIFEST])
@pytest.mark.parametrize("where", [0, -1, "middle"])
def test_one_damaged_byte_is_found_and_named(
    store: Store, document: Make, name: str, where: int | str
) -> None:
    reference = commit(store, [document("Text.")])
    store.record(entry(reference))
    path = store.path(reference) / name
    flip(path, path.stat().st_size // 2 if where == "middle" else int(where))
    assert str(path) in store.problem(reference)
    assert store.lookup("collect-1") is None


def test_a_missing_file_is_found_and_named(store: Store, document: Make) -> None:
    reference = commit(store, [document("Text.")])
    (store.path(reference) / "rows.parquet").unlink()
    assert store.problem(reference).endswith("rows.parquet is missing")


def test_a_damaged_artefact_is_replaced_when_it_is_computed_again(
    store: Store, document: Make
) -> None:
    reference = commit(store, [document("Text.")])
    flip(store.path(reference) / "rows.parquet", 30)
    assert commit(store, [document("Text.")]) == reference
    assert store.problem(reference) == ""


def test_reading_a_damaged_table_says_which_and_what_to_do(store: Store, document: Make) -> None:
    reference = commit(store, [document("Text.")])
    (store.path(reference) / "rows.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ArtifactError, match=r"rows\.parquet cannot be read .*run again"):
        store.rows(reference, Document)


def test_an_artefact_that_is_gone_is_an_error_that_names_it(store: Store) -> None:
    reference = Reference(kind="corpus", digest="ab" * 32, uri="", rows=0)
    with pytest.raises(ArtifactError, match="corpus abababababab is missing"):
        store.path(reference)


def test_many_writers_of_the_same_data_agree(store: Store, document: Make) -> None:
    with ThreadPoolExecutor(8) as pool:
        for text in map(str, range(16)):  # each text is a new race for one place
            rows = [document(text)]
            references = list(pool.map(lambda _, rows=rows: commit(store, rows), range(8)))
            assert len(set(references)) == 1
            assert store.problem(references[0]) == ""


# index


def test_a_recorded_stage_is_found_by_another_store_on_the_same_folder(
    store: Store, document: Make
) -> None:
    recorded = entry(commit(store, [document("Text.")]))
    store.record(recorded)
    assert Store(store.home).lookup("collect-1") == recorded
    assert store.lookup("collect-2") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"\xff\xfe\x00", b"[]"])
def test_a_damaged_index_entry_means_compute_again(store: Store, content: bytes) -> None:
    path = store.root / "index" / "collect-1.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.lookup("collect-1") is None


# disk


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left .*ANGLE_ADAPT_HOME"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "cannot write to .*ANGLE_ADAPT_HOME"),
        (errno.EACCES, "cannot write to"),
    ],
)
def test_a_full_or_read_only_disk_is_one_clear_message_and_no_half_artefact(
    store: Store, document: Make, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError, match=message):
        commit(store, [document("Text.")])
    with pytest.raises(ResourceError, match=message):
        write_atomically(store.root / "index" / "x.json", "{}")
    assert not list(store.root.glob("objects/*/*"))
    assert not list(store.root.glob("drafts/*"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "entry.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


WRITER = """
import itertools, sys
from pathlib import Path
from pipeline.artifacts import IndexEntry, Store
from pipeline.records import Dropped
from pipeline.settings import Home

store = Store(Home(Path(sys.argv[1])))
print("ready", flush=True)
for number in itertools.count(int(sys.argv[2])):
    rows = [Dropped(record_id=f"{number}-{i}", stage="x", reason="y") for i in range(2_000)]
    with store.create("rows") as draft:
        draft.write_rows(rows, Dropped)
        draft.write_json({"number": number})
    store.record(
        IndexEntry(key=f"x-{number}", stage="x", reference=draft.reference, seconds=0.0)
    )
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_moment_leaves_only_whole_artefacts(tmp_path: Path, seed: int) -> None:
    store = Store(Home(tmp_path))
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(seed * 10_000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        while not list(store.root.glob("index/*.json")):
            time.sleep(0.005)
        time.sleep(random.Random(seed).uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
    folders = list(store.root.glob("objects/*/*"))
    entries = list(store.root.glob("index/*.json"))
    assert folders
    assert entries
    for folder in folders:
        reference = Reference(kind="rows", digest=folder.name, uri="", rows=0)
        assert store.problem(reference) == ""
    for path in entries:
        assert store.lookup(path.stem) is not None
