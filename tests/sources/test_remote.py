"""Files at fsspec URLs: memory:// in this process, s3:// at moto's server in another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from flows import planning
from pipeline.config import CHECKOUT
from pipeline.errors import ConfigError, InputError, ResourceError
from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings
from pipeline.settings import HOME_VARIABLE
from pipeline.sources import files, remote

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
import time; time.sleep(600)
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of an S3 server in a process of its own."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("corpus")
    yield "s3://corpus"
    system.rm("corpus", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def memory() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    yield "memory://corpus"
    system.rm("/", recursive=True)


@pytest.fixture(params=["memory", "bucket"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def put(url: str, data: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(data)


def settings(url: str) -> CollectSettings:
    return CollectSettings(source="files", path=url)


def read(url: str, shelf: Path) -> list[Document | Dropped]:
    return list(files.read(settings(url), shelf))


def fresh(url: str, shelf: Path) -> dict[str, str]:
    files.refresh(settings(url), shelf)
    found = read(url, shelf)
    assert all(isinstance(item, Document) for item in found)
    return {item.name: item.text for item in found if isinstance(item, Document)}


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many files were copied since the last question."""
    count = 0
    copied = remote._copied

    def counting(*given: object) -> str:
        nonlocal count
        count += 1
        return copied(*given)  # type: ignore[arg-type]

    def taken() -> int:
        nonlocal count
        count, before = 0, count
        return before

    monkeypatch.setattr(remote, "_copied", counting)
    return taken


def test_files_elsewhere_are_read_and_only_what_changed_is_fetched_again(
    place: str, tmp_path: Path, opens: Callable[[], int]
) -> None:
    put(f"{place}/a.txt", b"First.")
    put(f"{place}/inner/b.csv", b"text\nSecond.\nThird.\n")
    put(f"{place}/picture.png", b"\x89PNG")
    put(f"{place}/.hidden/c.txt", b"Never.")
    first = {"a.txt": "First.", "inner/b.csv#1": "Second.", "inner/b.csv#2": "Third."}
    assert fresh(place, tmp_path) == first
    assert opens() == 2
    before = files.fingerprint(settings(place), tmp_path)
    assert fresh(place, tmp_path) == first
    assert opens() == 0
    assert files.fingerprint(settings(place), tmp_path) == before
    put(f"{place}/a.txt", b"Another.")
    assert fresh(place, tmp_path) == first | {"a.txt": "Another."}
    assert opens() == 1
    assert files.fingerprint(settings(place), tmp_path) != before
    assert len(list((tmp_path / "copies").iterdir())) == 2  # the old copy is gone


def test_documents_say_where_and_when_they_were_fetched(place: str, tmp_path: Path) -> None:
    put(f"{place}/a.txt", b"First.")
    files.refresh(settings(place), tmp_path)
    (document,) = read(place, tmp_path)
    assert isinstance(document, Document)
    assert document.url == f"{place}/a.txt"
    assert document.fetched_at.startswith("20")
    files.refresh(settings(place), tmp_path)
    assert read(place, tmp_path) == [document]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("/a.txt", {"a.txt"}),
        ("/*.txt", {"a.txt"}),
        ("/**/*.md", {"inner/b.md"}),
        ("/inner", {"b.md"}),
        ("/inner/*", {"b.md"}),
        ("", {"a.txt", "inner/b.md"}),
    ],
)
def test_a_url_names_a_file_a_folder_or_a_glob(
    place: str, tmp_path: Path, pattern: str, names: set[str]
) -> None:
    put(f"{place}/a.txt", b"First.")
    put(f"{place}/inner/b.md", b"Second.")
    assert set(fresh(place + pattern, tmp_path)) == names


def test_reading_needs_no_network(memory: str, tmp_path: Path) -> None:
    put(f"{memory}/a.txt", b"First.")
    files.refresh(settings(memory), tmp_path)
    fsspec.filesystem("memory").rm("/corpus", recursive=True)
    assert [item.text for item in read(memory, tmp_path) if isinstance(item, Document)] == [
        "First."
    ]


def test_what_was_never_fetched_is_an_error_that_says_so(memory: str, tmp_path: Path) -> None:
    for reading in (files.fingerprint, lambda *given: list(files.read(*given))):
        with pytest.raises(InputError, match="memory://corpus was not fetched yet"):
            reading(settings(memory), tmp_path)


def test_a_killed_run_goes_on_after_the_files_it_had(
    memory: str, tmp_path: Path, opens: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        put(f"{memory}/{number}.txt", b"Text %d." % number)
    whole = remote._copied

    def dying(stream: object, target: Path, largest: int) -> str:
        if len(list(target.parent.iterdir())) == 4:
            raise KeyboardInterrupt
        return whole(stream, target, largest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(remote, "_copied", dying)
        files.refresh(settings(memory), tmp_path)
    assert opens() == 4
    (tmp_path / "copies" / "half.123.tmp").write_bytes(b"Te")  # as SIGKILL leaves it
    assert len(fresh(memory, tmp_path)) == 6
    assert opens() == 2
    assert len(list((tmp_path / "copies").iterdir())) == 6


def test_a_file_that_cannot_be_fetched_is_dropped_and_tried_again(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{memory}/a.txt", b"First.")
    put(f"{memory}/b.txt", b"Second.")
    system = type(fsspec.filesystem("memory"))
    whole = system._open

    def failing(self: object, path: str, **given: object) -> object:
        if path.endswith("b.txt"):
            raise PermissionError(path)
        return whole(self, path, **given)

    with monkeypatch.context() as patch:
        patch.setattr(system, "_open", failing)
        files.refresh(settings(memory), tmp_path)
    good, bad = read(memory, tmp_path)
    assert isinstance(good, Document)
    assert isinstance(bad, Dropped)
    assert (bad.record_id, bad.reason) == ("b.txt", "cannot_fetch")
    assert "memory://corpus/b.txt: PermissionError" in bad.detail
    assert len(fresh(memory, tmp_path)) == 2


def test_a_file_over_the_limit_is_not_copied(memory: str, tmp_path: Path) -> None:
    put(f"{memory}/a.txt", b"x" * 3_000_000)
    put(f"{memory}/b.txt", b"Second.")
    remote.refresh(memory, tmp_path, 2_000_000)
    bad, good = read(memory, tmp_path)
    assert isinstance(bad, Dropped)
    assert isinstance(good, Document)
    assert "more than 2,000,000 bytes" in bad.detail
    assert len(list((tmp_path / "copies").iterdir())) == 1


@pytest.mark.parametrize("name", ["../../escape.txt", "%2e%2e/escape.txt", "a\\..\\escape.txt"])
def test_names_from_elsewhere_are_never_paths(bucket: str, tmp_path: Path, name: str) -> None:
    fsspec.filesystem("s3").pipe_file(f"corpus/{name}", b"Text.")
    put(f"{bucket}/a.txt", b"First.")
    shelf = tmp_path / "inner" / "shelf"
    before = {path for path in tmp_path.rglob("*") if "inner" not in path.parts}
    files.refresh(settings(bucket), shelf)
    read(bucket, shelf)
    assert {path for path in tmp_path.rglob("*") if "inner" not in path.parts} == before
    assert not [path for path in tmp_path.rglob("*") if "escape" in path.name]


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("https://example.org/a.txt", ConfigError, "read it with collect.source: web"),
        ("simplecache::https://example.org/a.txt", ConfigError, "chains places"),
        ("zip://*.txt::memory://a.zip", ConfigError, "chains places"),
        ("nosuch://a", ConfigError, "nosuch"),
        ("memory://none", InputError, "holds no file that can be read"),
    ],
)
def test_a_url_that_cannot_be_read_is_an_error_that_says_why(
    tmp_path: Path, url: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        files.refresh(settings(url), tmp_path)


def test_a_place_that_cannot_be_listed_is_an_error_without_its_password(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise PermissionError("not for you")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", failing)
    with pytest.raises(
        InputError, match=r"cannot list memory://corpus: .*not for you.*credentials"
    ):
        files.refresh(settings(memory), tmp_path)
    assert remote.shown("ftp://user:word@host/a") == "ftp://host/a"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(ResourceError, match=r"pip install 'angle-adapt\[remote\]'"):
        files.refresh(settings("s3://corpus"), tmp_path)


def test_the_first_plan_over_a_bucket_fetches_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    for number in range(30):
        put(f"{bucket}/{number}.txt", b"A text of some words with the number %d in it." % number)
    domain = tmp_path / "bucket.yaml"
    domain.write_text(
        f"domain: bucket\ncollect: {{source: files, path: '{bucket}'}}\nmine: {{pairs: 10}}\n"
    )
    assert planning.make(str(domain), ()).documents == 30
