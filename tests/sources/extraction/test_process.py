from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CHECKOUT
from pipeline.sources.extraction import (
    REASONS,
    Extracted,
    Extractor,
    Failed,
    Limits,
    frames,
    process,
)
from tests.sources.made import html

PAGE = html("<p>A paragraph that is long enough to be kept as the text of this page.</p>")


def reason(found: Extracted | Failed) -> str:
    return found.reason if isinstance(found, Failed) else ""


def worker_of(extractor: Extractor) -> psutil.Process:
    assert extractor._worker
    return psutil.Process(extractor._worker._process.pid)


def many_attributes(count: int = 40_000) -> bytes:
    """The page that was measured to hold trafilatura for 34 s, 349 KB of it in one element."""
    attributes = " ".join(f"a{number}=x" for number in range(count))
    return html(f"<p {attributes}>A paragraph.</p>")


def test_a_page_that_would_take_half_a_minute_is_given_up_in_time_and_the_next_is_read() -> None:
    assert 340_000 < len(many_attributes()) < 360_000
    with Extractor(Limits(seconds=1.5)) as extractor:
        assert isinstance(extractor.extract(PAGE, "html"), Extracted)
        before = worker_of(extractor)
        start = time.monotonic()
        assert reason(extractor.extract(many_attributes(), "html")) == "time_limit"
        assert time.monotonic() - start < 2.5
        assert not before.is_running()
        assert isinstance(extractor.extract(PAGE, "html"), Extracted)
        after = worker_of(extractor)
    assert not after.is_running()


def test_a_page_that_needs_more_memory_than_the_limit_is_given_up() -> None:
    deep_table = html("<table><tr><td>x" * 80, "<p>word</p>" * 400_000)
    with Extractor(Limits(seconds=20, memory=64 << 20)) as extractor:
        found = extractor.extract(deep_table, "html")
        assert reason(found) in ("memory_limit", "worker_died")
        assert isinstance(extractor.extract(PAGE, "html"), Extracted)


def test_a_page_is_asked_again_of_a_new_worker_when_those_before_may_have_used_up_its_memory() -> (
    None
):
    with Extractor() as extractor:
        extractor.extract(PAGE, "html")
        worker_of(extractor).kill()
        assert isinstance(extractor.extract(PAGE, "html"), Extracted)


def test_a_worker_is_replaced_after_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PAGES_A_WORKER", 40)
    with Extractor() as extractor:
        extractor.extract(b"text", "text")
        first = worker_of(extractor)
        for _ in range(40):
            assert extractor.extract(b"text", "text") == Extracted("text")
        assert not first.is_running()


def test_a_page_over_the_limit_never_reaches_the_worker() -> None:
    with Extractor(Limits(size=1_000)) as extractor:
        assert reason(extractor.extract(b"x" * 1_001, "html")) == "too_large"
        assert extractor._worker is None


def test_a_worker_holds_no_secret_and_can_write_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGLE_SECRET", "sk-123456")
    with Extractor() as extractor:
        extractor.extract(PAGE, "html")
        worker = worker_of(extractor)
        environment = worker.environ()
        assert "ANGLE_SECRET" not in environment
        assert not any("123456" in value for value in environment.values())
        assert worker.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert worker.rlimit(psutil.RLIMIT_AS)[0] < 4 << 30


OWNER = """
import sys, time
from pipeline.sources.extraction import Extractor, Limits
extractor = Extractor(Limits(seconds=0.5))
extractor.extract(b"text", "text")
print(extractor._worker._process.pid, flush=True)
page = "<p " + " ".join(f"a{n}=x" for n in range(40_000)) + ">x</p>"
if sys.argv[1] == "busy":
    extractor.extract(page.encode(), "html")
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_worker_dies_with_its_owner_even_in_the_middle_of_a_page(state: str) -> None:
    command = [sys.executable, "-c", OWNER, state]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        worker = psutil.Process(int(owner.stdout.readline()))
        time.sleep(0.3)
        owner.send_signal(signal.SIGKILL)
    psutil.wait_procs([worker], timeout=8)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 12,
        b"\xff" * 12,
        frames._LENGTHS.pack(9, 0) + b"nonsense!",
        frames._LENGTHS.pack(2, 0) + b"[]",
        frames._LENGTHS.pack(2, 0) + b"{}",
        *(
            frames._LENGTHS.pack(len(text), 0) + text
            for text in (
                b'{"failed": true, "reason": "made up", "detail": ""}',
                b'{"failed": false, "text": 5, "links": []}',
                b'{"failed": false, "text": "x", "links": [5]}',
            )
        ),
    ],
)
def test_what_no_worker_says_is_refused(frame: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame)
        theirs.close()
        with pytest.raises((ValueError, EOFError)):
            frames.answer(frames.receive(ours, lambda: 1.0))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=2_000), st.sampled_from(["html", "pdf", "docx", "markdown", "text"]))
def test_any_bytes_come_to_text_or_to_a_known_reason(
    extractor: Extractor, data: bytes, kind: str
) -> None:
    found = extractor.extract(data, kind)  # type: ignore[arg-type]
    assert isinstance(found, Extracted) or found.reason in REASONS
