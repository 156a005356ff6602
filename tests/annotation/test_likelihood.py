"""The likelihood annotator: the formula, whatever the batch; and never a question asked twice."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import prompts
from pipeline.annotation import annotators, likelihood
from pipeline.annotation.annotators import Likelihood, Setting
from pipeline.annotation.likelihood import LikelihoodModel
from pipeline.encoder import known
from pipeline.errors import InputError
from pipeline.journal import Journal
from pipeline.records import pair_id
from pipeline.sections import EncoderSettings, LabelSettings
from pipeline.settings import Home

MAX_LENGTH = 24
PROMPT = prompts.load(LabelSettings().prompt)
TEXTS = [
    "Return the size of a file.",
    "Open a socket.",
    "Sort the list of numbers, then read the bytes of the file from a socket. " * 4,
    "x",
    "",
]
PAIRS = [(a, b) for i, a in enumerate(TEXTS) for b in TEXTS[i + 1 :]]


@pytest.fixture(autouse=True)
def _in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "fast_dtype", lambda: torch.float32)


@pytest.fixture
def model(tiny_backbone: Path, tmp_path: Path) -> LikelihoodModel:
    return LikelihoodModel(str(tiny_backbone), PROMPT, MAX_LENGTH, Home(tmp_path))


@pytest.fixture
def setting(tiny_backbone: Path, tmp_path: Path) -> Setting:
    encoder = EncoderSettings(backbone=str(tiny_backbone), max_length=MAX_LENGTH)
    return Setting(LabelSettings(), encoder, Home(tmp_path / "home"), TEXTS)


def slow_log_likelihood(model: LikelihoodModel, context: list[int], text: list[int]) -> float:
    """One text at a time, logits of every position, then token by token."""
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([context + text])).logits[0].double()
    total = 0.0
    for place, token in enumerate(text, start=len(context)):
        before = logits[place - 1]
        total += float(before[token] - torch.log(torch.exp(before).sum()))
    return total / len(text)


def slow_score(model: LikelihoodModel, first: str, second: str) -> float:
    """The formula of the module, written out."""

    def ids(text: str) -> list[int]:
        return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def one_way(given: str, text: str) -> float:
        tokens = ids(" " + text)[:MAX_LENGTH]
        if len(ids(given)) > MAX_LENGTH:
            given = model.tokenizer.decode(ids(given)[:MAX_LENGTH])
        context = ids(f"{given}\nIn other words:")
        alone = slow_log_likelihood(model, [model.tokenizer.bos_token_id], tokens)
        return 1 - slow_log_likelihood(model, context, tokens) / alone

    return (one_way(first, second) + one_way(second, first)) / 2


def scores(model: LikelihoodModel, pairs: Sequence[tuple[str, str]]) -> list[float]:
    return model.scores(pairs, model.alone([text for pair in pairs for text in pair]))


def test_scores_are_those_of_the_slow_formula(model: LikelihoodModel) -> None:
    """Long texts are cut, an empty one is a text like any other."""
    expected = [slow_score(model, *pair) for pair in PAIRS]
    assert scores(model, PAIRS) == pytest.approx(expected, abs=1e-5)
    assert np.std(expected) > 1e-3


def test_a_score_depends_on_its_pair_alone(model: LikelihoodModel) -> None:
    """Not on the order of the pairs, what else is in the batch, or which text comes first."""
    together = scores(model, PAIRS)
    backwards = scores(model, PAIRS[::-1])[::-1]
    swapped = scores(model, [(b, a) for a, b in PAIRS])
    alone = [scores(model, [pair])[0] for pair in PAIRS]
    for other in (backwards, swapped, alone):
        assert other == pytest.approx(together, abs=1e-5)


def test_only_the_beginning_of_a_long_text_counts(model: LikelihoodModel) -> None:
    long, other = TEXTS[2], TEXTS[0]
    same, different = scores(model, [(long + " And more.", other), ("And more. " + long, other)])
    (expected,) = scores(model, [(long, other)])
    assert same == pytest.approx(expected, abs=1e-6)
    assert different != pytest.approx(expected, abs=1e-4)


def test_each_text_is_scored_alone_once(model: LikelihoodModel) -> None:
    rows: list[int] = []
    model.model.model.register_forward_hook(lambda *args: rows.append(len(args[-1][0])))
    alone = model.alone(TEXTS * 3)
    assert sum(rows) == len(TEXTS)
    assert list(alone) == TEXTS


def test_a_folder_that_is_no_backbone_is_refused(tmp_path: Path, setting: Setting) -> None:
    empty = setting._replace(encoder=EncoderSettings(backbone=str(tmp_path)))
    with pytest.raises(InputError, match="cannot load the backbone"):
        Likelihood(empty).annotate([("Open a file.", "Close it.")])


class Asked:
    """Counts, on the real model, the pairs and the lone texts it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.loaded = 0
        load, of_pairs, alone = (
            LikelihoodModel.__init__, LikelihoodModel.scores, LikelihoodModel.alone
        )  # fmt: skip

        def counted_load(*args: object) -> None:
            self.loaded += 1
            load(*args)  # type: ignore[arg-type]

        def counted_pairs(
            model: LikelihoodModel, pairs: list[tuple[str, str]], alone: dict[str, float]
        ) -> list[float]:
            self.pairs += pairs
            return of_pairs(model, pairs, alone)

        def counted_alone(model: LikelihoodModel, texts: list[str]) -> dict[str, float]:
            self.texts += texts
            return alone(model, texts)

        monkeypatch.setattr(LikelihoodModel, "__init__", counted_load)
        monkeypatch.setattr(LikelihoodModel, "scores", counted_pairs)
        monkeypatch.setattr(LikelihoodModel, "alone", counted_alone)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def test_the_journal_answers_the_second_time_and_no_model_is_loaded(
    setting: Setting, asked: Asked
) -> None:
    first = Likelihood(setting).annotate(PAIRS)
    again = Likelihood(setting).annotate([(b, a) for a, b in PAIRS])
    assert (first.reused, again.reused) == (0, len(PAIRS))
    assert again.scores == first.scores
    assert asked.loaded == 1
    assert len(asked.pairs) == len(PAIRS)
    assert sorted(asked.texts) == sorted(TEXTS)


def test_adding_pairs_asks_for_those_only(setting: Setting, asked: Asked) -> None:
    new = [(TEXTS[0], "Read a file."), ("Read a file.", "Read the bytes of a list.")]
    before = Likelihood(setting).annotate(PAIRS[:4])
    asked.pairs, asked.texts = [], []
    after = Likelihood(setting).annotate(new + PAIRS[:4])
    assert after.reused == 4
    assert after.scores[2:] == before.scores
    assert {pair_id(*pair) for pair in asked.pairs} == {pair_id(*pair) for pair in new}
    assert set(asked.texts) == {"Read a file.", "Read the bytes of a list."}


def test_what_decides_the_scores_decides_what_is_reused(setting: Setting, asked: Asked) -> None:
    Likelihood(setting).annotate(PAIRS[:2])
    other = setting._replace(encoder=setting.encoder.model_copy(update={"max_length": 8}))
    assert Likelihood(other).annotate(PAIRS[:2]).reused == 0
    pooled = setting._replace(encoder=setting.encoder.model_copy(update={"pooling": "mean"}))
    assert Likelihood(pooled).annotate(PAIRS[:2]).reused == 2
    assert len(asked.pairs) == 4


def test_the_chunk_size_changes_no_score(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = Likelihood(setting).annotate(PAIRS).scores
    monkeypatch.setattr(annotators, "_CHUNK", 3)
    chunked = Likelihood(setting._replace(home=Home(tmp_path / "other"))).annotate(PAIRS).scores
    assert chunked == pytest.approx(whole, abs=1e-5)


def test_a_score_does_not_depend_on_texts_that_differ_in_case_only(
    setting: Setting, tmp_path: Path
) -> None:
    pair, other = ("Open a socket.", "Return a file."), ("OPEN A SOCKET.", "Sort the list.")
    (expected,) = Likelihood(setting).annotate([pair]).scores
    elsewhere = setting._replace(home=Home(tmp_path / "other"))
    found = Likelihood(elsewhere).annotate([pair, other]).scores[0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_interruption_loses_at_most_a_chunk_of_lone_texts(
    setting: Setting, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotators, "_CHUNK", 4)
    texts = [f"Read {number} bytes." for number in range(24)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    write, written = Journal.write, []

    def interrupted(journal: Journal, owner: str, values: dict[str, bytes]) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        write(journal, owner, values)
        written.append(len(values))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "write", interrupted)
        Likelihood(setting).annotate(pairs)
    assert max(written) <= 4
    asked.texts = []
    Likelihood(setting).annotate(pairs)
    assert len(asked.texts) == len(texts) - sum(written)


DRIVER = """
import sys, time
from pathlib import Path

from pipeline.annotation import annotators
from pipeline.sections import EncoderSettings, LabelSettings
from pipeline.settings import Home

backbone, home, hang = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "hang"
annotators._CHUNK = 3
texts = [f"Read {number} bytes of the file." for number in range(13)]
pairs = list(zip(texts, texts[1:]))

if hang:
    from pipeline.annotation.likelihood import LikelihoodModel
    scores, done = LikelihoodModel.scores, []

    def hang_in_the_third_chunk(model, pairs, alone):
        if len(done) == 6:
            print(*done, sep="|", flush=True)
            time.sleep(600)
        done.extend(pair[0] for pair in pairs)
        return scores(model, pairs, alone)

    LikelihoodModel.scores = hang_in_the_third_chunk

encoder = EncoderSettings(backbone=backbone, max_length=24)
annotator = annotators.Likelihood(annotators.Setting(LabelSettings(), encoder, Home(home), texts))
print(annotator.annotate(pairs).reused, "torch" in sys.modules, flush=True)
"""


def driver(setting: Setting, how: str) -> subprocess.Popen[str]:
    where = [setting.encoder.backbone, str(setting.home.root), how]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *where], stdout=subprocess.PIPE, text=True
    )


def test_a_killed_run_asks_again_for_the_chunk_in_flight_only(
    setting: Setting, asked: Asked
) -> None:
    """Killed in its third chunk of three pairs, then continued, then repeated without a model."""
    with driver(setting, "hang") as first:
        assert first.stdout is not None
        done = set(first.stdout.readline().strip().split("|"))
        first.send_signal(signal.SIGKILL)
    texts = [f"Read {number} bytes of the file." for number in range(13)]
    pairs = list(itertools.pairwise(texts))
    assert len(done) == 6
    opinions = Likelihood(setting).annotate(pairs)
    assert opinions.reused == 6
    assert {pair[0] for pair in asked.pairs} == {*texts[:12]} - done
    assert asked.texts == []
    with driver(setting, "repeat") as third:
        assert third.communicate(timeout=120)[0] == "12 False\n"


def test_a_backbone_that_fills_in_masked_tokens_is_replaced_by_the_built_in_language_model(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    assert known.language_model(str(encoder)) == ("smollm2-135m-instruct", "")
    assert known.language_model(str(tiny_backbone), "main") == (str(tiny_backbone), "main")
    assert known.language_model("smollm2-135m-instruct") == ("smollm2-135m-instruct", "")
