"""The environments of other libraries, the jobs done there, and the figures made of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import _peers, _workload, training_encode, training_step
from benchmarks._peers import Peer
from benchmarks.peers import gauge
from benchmarks.peers.gauge import Encoding, Job, Training
from benchmarks.training_encode import Seen
from benchmarks.training_step import ANGLE, DEFAULT, EQUAL, EVERYWHERE, OTHER, Size
from pipeline.config import CHECKOUT
from pipeline.errors import ResourceError
from pipeline.records import Pair, pair_id
from pipeline.settings import Home

REQUIREMENTS = sorted((CHECKOUT / "benchmarks" / "peers").glob("*.txt"))
MEBIBYTE = 2**20
JOB = Job(
    task="encode", backbone="folder", data="rows.jsonl", template='"{text}" is', text_tokens=96,
    precision="bfloat16", adapters="everywhere", sizes=(1, 100),
)  # fmt: skip


def pins(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_of_a_peer_is_pinned_and_torch_is_ours(path: Path) -> None:
    found = pins(path)
    assert [line for line in found if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in found]
    assert len(names) == len(set(names))
    ours = [line for line in pins(CHECKOUT / "constraints.txt") if line.startswith("torch==")]
    assert [line for line in found if line.startswith("torch==")] == ours


def test_every_peer_has_requirements_and_only_those() -> None:
    assert sorted(p.requirements for p in _peers.PEERS.values() if p.requirements) == REQUIREMENTS


def test_an_environment_is_made_once_and_a_half_made_one_again(tmp_path: Path) -> None:
    requirements = tmp_path / "empty.txt"
    requirements.write_text("# nothing\n", encoding="utf-8")
    home = Home(tmp_path / "home")
    half_made = home.root / "peers" / _folder_name(requirements, home)
    (half_made / "bin").mkdir(parents=True)
    (half_made / "junk").touch()

    python = _peers.environment(requirements, home)
    assert python.is_file()
    assert half_made in python.parents
    assert not (half_made / "junk").exists()

    (half_made / "kept").touch()
    assert _peers.environment(requirements, home) == python
    assert (half_made / "kept").exists()


def _folder_name(requirements: Path, home: Home) -> str:
    """Return the name of an environment: that of the one that a failing start leaves behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_peers, "_make", _refuse)
        with pytest.raises(ResourceError, match="refused"):
            _peers.environment(requirements, home)
    (lock,) = (home.root / "peers").glob("empty-*.lock")
    return lock.stem


def _refuse(*_: object) -> None:
    message = "refused"
    raise ResourceError(message)


def test_other_requirements_have_another_environment(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for text in ("a==1", "a==2"):
        (tmp_path / "empty.txt").write_text(text, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_peers, "_make", _refuse)
            with pytest.raises(ResourceError):
                _peers.environment(tmp_path / "empty.txt", home)
    assert len(list((home.root / "peers").glob("empty-*.lock"))) == 2


def test_what_pip_says_is_told_and_the_environment_is_not_complete(tmp_path: Path) -> None:
    requirements = tmp_path / "bad.txt"
    requirements.write_text("./no-such-folder\n", encoding="utf-8")
    home = Home(tmp_path / "home")
    with pytest.raises(ResourceError, match=r"bad\.txt cannot be made: .*no-such-folder"):
        _peers.environment(requirements, home)
    assert list((home.root / "peers").rglob(_peers.COMPLETE)) == []


def test_a_job_reads_back_as_it_was_written(tmp_path: Path) -> None:
    gauge.write(JOB, tmp_path / "job.json")
    assert gauge.read(tmp_path / "job.json") == JOB


FAKE = """
import json, sys
print("noise")
print("more noise", file=sys.stderr)
job = json.load(open(sys.argv[1]))
seconds = {str(size): 0.5 for size in job["sizes"]}
versions = {"torch": TORCH}
report = {"library": "fake", "precision": job["precision"], "seconds": seconds, "threads": 1}
print(json.dumps(report | {"versions": versions}))
"""


def _fake(folder: Path, patch: pytest.MonkeyPatch, torch: str) -> Home:
    (folder / "fake.py").write_text(FAKE.replace("TORCH", repr(torch)), encoding="utf-8")
    patch.setattr(_peers, "CHECKOUT", folder)
    patch.setattr(_peers, "PEERS", {"fake": Peer("fake", None), "lost": Peer("lost", None)})
    return Home(folder)


def test_a_job_is_done_in_a_process_that_reports_in_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _fake(tmp_path, monkeypatch, gauge.versions()["torch"])
    report = _peers.run("fake", JOB, Encoding, home)
    assert report.seconds == {"1": 0.5, "100": 0.5}
    assert report.precision == "bfloat16"
    with pytest.raises(ResourceError, match=r"lost could not encode: .*No module named"):
        _peers.run("lost", JOB, Encoding, home)


def test_a_peer_with_another_torch_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _fake(tmp_path, monkeypatch, "0.1")
    with pytest.raises(ResourceError, match=r"fake has torch 0\.1"):
        _peers.run("fake", JOB, Encoding, home)


def test_ours_trains_on_a_job_and_says_what_it_took(tmp_path: Path, tiny_backbone: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    rows = [
        {"sentence1": f"Open file {n}.", "sentence2": f"Read {n} bytes.", "score": n / 7}
        for n in range(8)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = replace(
        JOB, task="train", backbone=str(tiny_backbone), data=str(data), batch_pairs=2,
        precision="float32",
    )  # fmt: skip
    report = _peers.run(_peers.OURS, job, Training, Home(tmp_path / "home"))
    assert len(report.seconds) == 4
    assert 0 < report.resident_before <= report.peak_training <= report.peak
    assert report.moved > 0
    assert report.tokens > 16 * 3
    assert report.precision == "float32"


MEMORY = """
import json
from benchmarks.peers.gauge import Gauge
held = bytearray(b"x") * (200 * 2**20)
del held
measured = Gauge()
measured.start()
held = bytearray(b"x") * (50 * 2**20)
measured.step()
measured.step()
print(json.dumps(measured.result()))
"""


def test_memory_that_was_free_again_before_the_start_is_not_charged_to_training() -> None:
    command = [sys.executable, "-c", MEMORY]  # in a process with no memory to give back meanwhile
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    assert 50 * MEBIBYTE <= found["peak_training"] - found["resident_before"] < 150 * MEBIBYTE
    assert found["peak"] >= found["peak_training"]
    assert len(found["seconds"]) == 2


def test_small_numbers_of_texts_are_timed_often_and_never_with_the_same_texts() -> None:
    calls: list[list[str]] = []
    texts = [str(number) for number in range(60)]
    seconds, last = gauge.timed(lambda given: calls.append(given) or given, texts, (60, 1, 10))
    assert list(seconds) == ["1", "10", "60"]
    assert last == texts
    timed = calls[1:]  # the first warms up
    assert [len(call) for call in timed] == [1] * 30 + [10] * 3 + [60]
    assert [text for call in timed[:30] for text in call] == texts[:30]


def training(seconds: tuple[float, ...], memory: tuple[int, int, int], library: str) -> Training:
    before, training_, peak = memory
    made = Training(
        library=library, precision="float32", seconds=seconds, resident_before=before,
        peak_training=training_, peak=peak, tokens=400, trainable=1, moved=0.1, threads=2,
        versions={"torch": "2", "angle-emb": "0.6.1"},
    )  # fmt: skip
    return gauge.parse(json.dumps(asdict(made)), Training)


def test_speeds_and_memory_are_ratios_of_medians_and_our_preparation_counts() -> None:
    size = Size(batch=10, steps=4, warm_up=1, share=0.25)
    reports = {
        DEFAULT: [training((5.0, 1.0, 1.0, 9.0), (100, 160, 170), "angle-adapt")] * 2,
        ANGLE: [training((99.0, 8.0, 8.0, 1.0), (100, 300, 400), "angle_emb")],
        OTHER: [training((99.0, 6.0, 6.0, 6.0), (100, 180, 200), "sentence-transformers")],
        EVERYWHERE: [training((2.0, 3.0, 3.0, 3.0), (100, 150, 200), "angle-adapt")],
        EQUAL: [training((7.0, 6.0, 6.0, 7.0), (100, 200, 250), "sentence-transformers")],
    }
    found = {figure.name: figure for figure in training_step.figures(reports, size)}
    # One second a step, and a quarter of the four that the first took beyond that.
    assert found["pairs a second, times angle_emb"].value == 8 / 2
    assert found["pairs a second, times angle_emb"].holds
    assert found["pairs a second, times sentence-transformers"].value == 6 / 2
    same = "pairs a second, times sentence-transformers, same precision and layers"
    assert found[same].value == 6 / 3
    assert found["memory of a step, share of angle_emb's"].value == 60 / 200
    assert found["memory of a step, share of sentence-transformers's"].value == 60 / 80
    assert not found["memory of a step, share of sentence-transformers's"].holds
    assert found["peak memory of the process, share of angle_emb's"].value == 170 / 400
    title = "angle_emb 0.6.1, float32, its default layers"
    assert found[f"{title}: pairs a second"].value == 10 / 8
    assert found[f"{title}: tokens run for a pair"].value == 400 / 40


def encoding(precision: str, **seconds: float) -> Encoding:
    taken = {size.removeprefix("n"): value for size, value in seconds.items()}
    made = Encoding(library="", precision=precision, seconds=taken, threads=2, versions={})
    return gauge.parse(json.dumps(asdict(made)), Encoding)


def test_encoding_is_judged_by_the_medians_of_each_number_of_texts() -> None:
    same, exact = (training_encode.Way(_peers.SENTENCE_TRANSFORMERS, p) for p in ("bf", "float32"))
    reports = {
        training_encode.DEFAULT: [encoding("bf", n1=0.2, n50=2.0), encoding("bf", n1=0.1),
                                  encoding("bf", n1=9.0)],
        same: [encoding("bf", n1=0.1, n50=5.0)],
        exact: [encoding("float32", n50=7.0)],
    }  # fmt: skip
    seen = Seen(reports, to_float32=0.9995, to_peer=0.99, repeats=0.2)
    found = {figure.name: figure for figure in training_encode.figures(seen)}
    assert found["50 texts, times sentence-transformers in the same precision"].value == 2.5
    assert found["50 texts, times sentence-transformers in float32"].value == 3.5
    assert not found["50 texts, times sentence-transformers in float32"].holds
    assert found["smallest of the ratios, bf both"].value == 0.5
    assert found["lowest cosine with float32"].holds
    assert found["angle-adapt, bf: 50 texts"].value == 25


def test_a_training_run_that_moved_nothing_is_no_measurement() -> None:
    good = training((1.0,), (1, 2, 3), "angle_emb")
    training_step.check(good)
    for moved in (0.0, float("nan"), float("inf")):
        with pytest.raises(ResourceError, match="angle_emb did not train"):
            training_step.check(replace(good, moved=moved))


def test_labels_are_evenly_spread_and_grow_with_the_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [("abcdef", "uvwxyz"), ("abcdef", "abcxyz"), ("abcdef", "abcdef g"), ("abcd", "abce")]
    pairs = [
        Pair(id=pair_id(*pair), sentence1=pair[0], sentence2=pair[1], strategy="random",
             document1="", document2="")
        for pair in texts
    ]  # fmt: skip
    monkeypatch.setattr(_workload, "_mined", lambda *_: pairs)
    _workload.write_pairs(tmp_path / "pairs.jsonl", 4, Home(tmp_path), quick=True)
    rows = gauge.rows(str(tmp_path / "pairs.jsonl"))
    assert [row["score"] for row in rows] == [0, 1 / 3, 1, 2 / 3]
    assert _workload.overlap("abcdef", "uvwxyz") == 0
    assert _workload.overlap("abcdef", "abcdef") == 1
    assert sys.executable == _peers.interpreter(_peers.PEERS[_peers.OURS], Home(tmp_path))
