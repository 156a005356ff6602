"""What requests cost: the bound before sending is one for every tokenizer, sums are exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from pipeline import prompts
from pipeline.chat import prices
from pipeline.chat.endpoint import Answer
from pipeline.chat.prices import BILLION, Price, is_local, most, price_of
from pipeline.chat.replies import read
from pipeline.sections import ChatSettings
from tests import llama_server
from tests.chat import asking

TOKENS = Price(1.0, 0.0)  # one billionth for a token of the prompt
# Characters that grow in one of Unicode's normal forms, and others that tokenizers break up.
NASTY = (
    "\ufdfa\u0958\U0001d160\u0344\u1f82\uac00\u212b\ufb03\u3300\u0130\u200d\U0001f9d1"
    "\U000e0061\u0e33"
)
texts = st.text(max_size=60) | st.text(st.sampled_from(NASTY + "a \n"), max_size=60)


def chat(**values: Any) -> ChatSettings:
    return ChatSettings.model_validate({"model": "gpt-4o-mini"} | values)


def alphabet() -> dict[str, int]:
    return {letter: number for number, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}


def byte_level(*forms: normalizers.Normalizer) -> Tokenizer:
    """The worst there is of the GPT and Qwen kind: no merges at all, so a token for every byte."""
    made = Tokenizer(models.BPE(vocab=alphabet(), merges=[]))
    made.normalizer = normalizers.Sequence(list(forms))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def sentence_piece() -> Tokenizer:
    """The worst there is of the SentencePiece kind: it normalises, and falls back to bytes."""
    vocab = [("<unk>", 0.0), *((f"<0x{byte:02X}>", -1.0) for byte in range(256))]
    made = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    return made


@pytest.fixture(scope="module")
def smollm() -> Callable[[str], int]:
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import

    file = llama_server.gguf()
    made = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    return lambda text: len(made.encode(text, add_special_tokens=False))


WORST = {
    "bytes": byte_level(),
    "NFC": byte_level(normalizers.NFC()),
    "NFKD": byte_level(normalizers.NFKD()),
    "SentencePiece": sentence_piece(),
}


def bound(*contents: str, **body: Any) -> int:
    messages = [{"role": "user", "content": content} for content in contents]
    return most(TOKENS, {"messages": messages, **body}, 0).usd


@pytest.mark.parametrize("kind", WORST)
@given(text=texts)
def test_no_tokenizer_makes_more_tokens_than_the_bound(kind: str, text: str) -> None:
    count = len(WORST[kind].encode(text, add_special_tokens=False).ids)
    assert count + 16 <= bound(text)


def test_the_worst_tokenizers_are_bad_enough_to_show_it() -> None:
    text = "\U0001d160" * 100
    assert len(WORST["NFC"].encode(text).ids) == 3 * len(text.encode())
    assert len(WORST["SentencePiece"].encode("\ufdfa" * 10).ids) > 3 * len(("\ufdfa" * 10).encode())


@settings(deadline=None)
@given(text=texts)
def test_a_real_tokenizer_makes_fewer(smollm: Callable[[str], int], text: str) -> None:
    assert smollm(text) <= bound(text)


@pytest.mark.parametrize("name", ["similarity.v1", "similarity-zh.v1", "query-writer.v1"])
def test_a_real_prompt_is_overestimated_by_a_factor_that_a_budget_can_bear(
    smollm: Callable[[str], int], name: str
) -> None:
    values: dict[str, str | int] = {"text": "Open a file.", "size": 3}
    if "text2" in prompts.KINDS[prompts.load(name).output].needs:
        values = {"text1": "Open a file.", "text2": "打开一个文件。"}
    contents = [message["content"] for message in prompts.load(name).messages(**values)]
    tokens = sum(map(smollm, contents))
    assert tokens < bound(*contents) < 7 * tokens


def test_llama_cpp_counts_fewer_tokens_than_the_bound() -> None:
    contents = ["", "a", "Open a file.", NASTY * 3, "打开一个文件。" * 5, "\U0001d160" * 40]
    bodies = [{"messages": [{"role": "user", "content": one}], "max_tokens": 1} for one in contents]
    with llama_server.start() as url:
        for body, came in zip(bodies, asking.sent(asking.settings(url, timeout=60.0), *bodies),
                              strict=True):  # fmt: skip
            assert isinstance(came, Answer)
            usage = read(came.body).usage
            assert usage is not None
            assert usage.prompt_tokens <= most(TOKENS, body, 1).usd
            assert usage.completion_tokens <= 1


def test_a_schema_counts_as_part_of_the_prompt() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x" * 500}}
    assert bound("a", response_format=schema) > bound("a") + 500


def test_the_bound_covers_every_answer_and_the_longest_that_may_come() -> None:
    price = Price(0.0, 1.0)
    body: dict[str, Any] = {"messages": []}
    assert most(price, body, 24).usd == 24
    assert most(price, body | {"max_completion_tokens": 100}, 24).usd == 100
    assert most(price, body | {"n": 5}, 24).usd == 120


counts = st.integers(0, 10_000_000)
rates = st.decimals(0, 200, places=4).map(float)


@given(rates, rates, counts, counts)
def test_a_cost_is_exact_to_a_billionth_and_never_too_low(
    price_input: float, price_output: float, prompt: int, answer: int
) -> None:
    price = price_of(chat(price_input=price_input, price_output=price_output))
    assert price is not None
    found = price.cost(prompt, answer)
    exact = (Fraction(str(price_input)) * prompt + Fraction(str(price_output)) * answer) * Fraction(
        BILLION, 1_000_000
    )
    assert found.tokens == prompt + answer
    assert exact - Fraction(exact) / 10**12 <= found.usd <= exact * (1 + Fraction(1, 10**12)) + 1


def test_whose_price_counts() -> None:
    assert price_of(chat()) == Price(150.0, 600.0)
    assert price_of(chat(price_input=1.0, price_output=2.0)) == Price(1_000.0, 2_000.0)
    assert price_of(chat(base_url="http://127.0.0.1:8080/v1")) == Price(0.0, 0.0)
    local = chat(base_url="http://localhost:8080/v1", price_input=1.0, price_output=2.0)
    assert price_of(local) == Price(1_000.0, 2_000.0)
    assert price_of(chat(price_input=1.0)) == Price(150.0, 600.0)  # one of the two is none
    assert price_of(chat(model="gpt-17-mini")) is None


def test_models_that_are_not_in_the_table_have_the_price_that_the_extra_knows() -> None:
    pytest.importorskip("genai_prices")
    price = price_of(chat(model="mistral-small-latest", base_url="https://api.mistral.ai/v1"))
    assert price is not None
    assert 10 < price.input < 1_000


def test_every_line_of_the_table_is_two_prices_of_a_model() -> None:
    table = prices._table()
    assert len(table) >= 10
    for price_input, price_output in table.values():
        assert 0 < price_input <= price_output < 1_000


LOCAL = {
    "http://localhost:1/v1": True, "http://127.0.0.1/v1": True, "http://127.9.9.9:80": True,
    "http://[::1]:8000/v1": True, "https://api.openai.com/v1": False, "http://10.0.0.5/v1": False,
    "http://localhost.example.com": False, "http://127.0.0.1.example.com": False, "x": False,
}  # fmt: skip


@pytest.mark.parametrize(("url", "expected"), LOCAL.items())
def test_only_this_machine_is_local(url: str, expected: bool) -> None:  # noqa: FBT001
    assert is_local(url) is expected


def test_billionths_add_up_to_dollars() -> None:
    assert prices.dollars(sum([Price(150.0, 600.0).cost(1, 1).usd] * 1_000)) == 0.00075
    assert math.isclose(prices.dollars(1), 1e-9)
