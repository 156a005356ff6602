"""Token ids: the text may lose its end, the template never does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from pipeline.encoder.known import KNOWN, ONE_WORD
from pipeline.encoder.template import Template

MAX = 8
TEMPLATES = sorted({made.template for made in KNOWN.values()} | {"{text}", "query: {text} ."})
TEXTS = st.text(max_size=80) | st.text(alphabet=" ab.\"'\n\tß語🙂\u0301", max_size=200)


@pytest.fixture(scope="module")
def byte_level(tiny_backbone: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_backbone)


@pytest.fixture(scope="module")
def word_piece(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    trained = BertWordPieceTokenizer()
    trained.train_from_iterator(["sort the list of numbers in one word: query \" ' ."] * 3)
    folder = tmp_path_factory.mktemp("word-piece")
    trained.save_model(str(folder))
    return BertTokenizerFast.from_pretrained(folder)


@pytest.fixture(params=["byte_level", "word_piece"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.getfixturevalue(request.param)


def end_ids(tokenizer: PreTrainedTokenizerFast, template: str) -> list[int]:
    """The ids of the template from its first space after the text on.

    What stands before that space may share a token with the text: `."` is one token of LLaMA's.
    """
    after = template.partition("{text}")[2]
    tail = after[after.find(" ") :] if " " in after else ""
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    closing = tokenizer("")["input_ids"]
    return ids + closing[len(closing) // 2 :]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_end_of_the_template_always_ends_the_ids(
    tokenizer: PreTrainedTokenizerFast, template: str
) -> None:
    made, end = Template(tokenizer, template, MAX), end_ids(tokenizer, template)
    assert end or template == "{text}"

    @settings(max_examples=150, deadline=None, database=None)
    @example("")
    @example("a" * 5_000)
    @example("語" * 300)
    @example("🙂" * 300 + '"')
    @example(" \n" * 200)
    @example("\ud800 lone surrogate " * 20)
    @given(TEXTS)
    def holds(text: str) -> None:
        (row,) = made.ids([text], pad_id=0)
        assert 0 < len(row) <= MAX + max(1, made.overhead)
        assert row[len(row) - len(end) :] == end

    holds()


def test_a_text_that_fits_is_not_touched(tokenizer: PreTrainedTokenizerFast) -> None:
    made = Template(tokenizer, ONE_WORD, 40)
    texts = ["Sort the list.", "", 'Say "one".', "Sort the list of numbers. " * 3]
    plain = [tokenizer(ONE_WORD.replace("{text}", text))["input_ids"] for text in texts]
    assert made.ids(texts, pad_id=0) == plain


def test_a_long_text_keeps_as_many_tokens_as_it_may(tokenizer: PreTrainedTokenizerFast) -> None:
    made = Template(tokenizer, "{text}", 6)
    text = "sort the list of numbers in one word " * 5
    (row,) = made.ids([text], pad_id=0)
    alone = tokenizer(text, add_special_tokens=False)["input_ids"]
    special = made.overhead // 2
    assert row[special : len(row) - special] == alone[:6]


def test_an_empty_text_without_a_template_is_one_token(byte_level: PreTrainedTokenizerFast) -> None:
    assert Template(byte_level, "{text}", 4).ids(["", "a"], pad_id=9)[0] == [9]
    assert Template(byte_level, "{text}", 4).ids([], pad_id=9) == []


def test_braces_in_a_text_are_text(byte_level: PreTrainedTokenizerFast) -> None:
    (row,) = Template(byte_level, ONE_WORD, 40).ids(["{text} {0} {"], pad_id=0)
    assert byte_level.decode(row) == 'Summarize sentence "{text} {0} {" in one word:"'
