from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.config import CHECKOUT
from pipeline.records import Document
from pipeline.sections import CollectSettings
from pipeline.sources import files
from pipeline.sources.extraction import Extracted, Extractor, Failed, Limits
from pipeline.sources.kept import Kept
from tests.sources.made import html

PAGE = html("<p>A paragraph that is long enough to be kept as the text of this page.</p>")


def test_a_page_is_extracted_once_whatever_its_name(tmp_path: Path) -> None:
    with Extractor() as extractor:
        first = Kept(tmp_path, extractor)
        found = first.extract(PAGE, "html")
        assert isinstance(found, Extracted)
        assert first.extract(PAGE, "html") == found
        assert first.computed == 1
    unused = Extractor()
    again = Kept(tmp_path, unused)
    assert again.extract(PAGE, "html") == found
    assert unused._worker is None
    with unused:
        assert again.extract(PAGE + b" ", "html") == found  # other bytes
        assert again.computed == 1


def test_a_damaged_result_is_computed_again(tmp_path: Path) -> None:
    with Extractor() as extractor:
        kept = Kept(tmp_path, extractor)
        found = kept.extract(PAGE, "html")
        (path,) = tmp_path.rglob("*.json")
        path.write_bytes(path.read_bytes()[:30])
        assert kept.extract(PAGE, "html") == found
        assert kept.computed == 2


def test_what_may_go_better_next_time_is_not_kept(tmp_path: Path) -> None:
    slow = ("<p " + " ".join(f"a{n}=x" for n in range(40_000)) + ">x</p>").encode()
    with Extractor(Limits(seconds=0.3)) as extractor:
        kept = Kept(tmp_path, extractor)
        for _ in range(2):
            found = kept.extract(slow, "html")
            assert isinstance(found, Failed)
            assert found.reason == "time_limit"
        assert kept.computed == 2
        assert isinstance(kept.extract(b"", "html"), Failed)  # this will not
        assert isinstance(kept.extract(b"", "html"), Failed)
        assert kept.computed == 3


READ = """
import sys
from pathlib import Path
from pipeline.sections import CollectSettings
from pipeline.sources import files
for document in files.read(CollectSettings(source="files", path=sys.argv[1]), Path(sys.argv[2])):
    print(document.name, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_anywhere_goes_on_with_whole_results(tmp_path: Path, seed: int) -> None:
    folder, shelf = tmp_path / "pages", tmp_path / "shelf"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.html").write_bytes(PAGE + b"<!-- %d -->" % number)
    command = [sys.executable, "-c", READ, str(folder), str(shelf)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(5 + 10 * seed):
            process.stdout.readline()
        time.sleep(0.003 * seed)
        process.send_signal(signal.SIGKILL)
    done = len(list(shelf.rglob("*.json")))
    assert 5 + 10 * seed <= done < 60
    settings = CollectSettings(source="files", path=str(folder))
    with Extractor() as extractor:
        kept = Kept(shelf / "extracted", extractor)
        reading = files.Reading(settings, kept)
        found = [d for entry in files.places.local(str(folder)) for d in reading.documents(entry)]
    assert all(isinstance(item, Document) and item.text for item in found)
    assert len(found) == 60
    assert kept.computed == 60 - done
