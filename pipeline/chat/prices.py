"""What a request costs: exactly once it is answered, at the very most before it is sent.

Money is counted in billionths of a dollar, so that sums are exact.
"""

from __future__ import annotations

import ipaddress
import json
import math
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import yaml

from pipeline.journal.entries import Cost

if TYPE_CHECKING:
    from pipeline.sections import ChatSettings

BILLION: Final = 1_000_000_000
BATCH_SHARE: Final = 0.5  # of the price, for a question in a batch
_TABLE: Final = Path(__file__).with_name("prices.yaml")
# What a chat template may add: a few tokens a message, and around all of them what the model was
# told about itself and today's date; with room to spare.
_MESSAGE_TOKENS: Final = 16
_TEMPLATE_TOKENS: Final = 128
_SCHEMA_KEYS: Final = ("response_format", "tools")
_LONGEST_KEYS: Final = ("max_tokens", "max_completion_tokens")
_FORMS: Final[tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...]] = ("NFC", "NFD", "NFKC", "NFKD")


class Price(NamedTuple):
    """Billionths of a dollar for a token."""

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Cost:
        """Return what a request with these tokens costs, rounded up."""
        usd = math.ceil(prompt_tokens * self.input + completion_tokens * self.output)
        return Cost(usd, prompt_tokens + completion_tokens)


def price_of(settings: ChatSettings) -> Price | None:
    """Return the price of a model: the user's, else nothing for an endpoint on this machine, else
    that of the table, else what the extra `prices` knows; None when nobody knows.
    """  # noqa: D205 - one sentence
    if settings.price_input is not None and settings.price_output is not None:
        return _a_million(settings.price_input, settings.price_output)
    if is_local(settings.base_url):
        return Price(0.0, 0.0)
    if settings.model in _table():
        return _a_million(*_table()[settings.model])
    return _looked_up(settings)


def price_asked(settings: ChatSettings, questions: int) -> Price | None:
    """Return the price at which so many questions are asked: in batches, a share of a model's.

    None when nobody knows the model's.
    """
    price = price_of(settings)
    if price is None or not settings.batch or questions < settings.batch_least:
        return price
    return in_batch(price)


def in_batch(price: Price) -> Price:
    """Return the price of a question that is asked in a batch."""
    return Price(price.input * BATCH_SHARE, price.output * BATCH_SHARE)


def reserve_in_batch(reserve: Cost) -> Cost:
    """Return the most that a question can cost in a batch; ``reserve`` is it outside of one."""
    return Cost(math.ceil(reserve.usd * BATCH_SHARE), reserve.tokens)


def most(price: Price, body: Mapping[str, Any], max_tokens: int) -> Cost:
    """Return an upper bound of what ``body`` can cost.

    A token stands for at least one byte of what a tokenizer reads, which may be the text in another
    normal form, so bytes bound the tokens.
    """
    messages = body["messages"]
    size = sum(_bytes(str(message["content"])) for message in messages)
    size += sum(_bytes(json.dumps(body[key])) for key in _SCHEMA_KEYS if key in body)
    answers = max(1, int(body.get("n", 1)))
    longest = max([max_tokens, *(int(body[key]) for key in _LONGEST_KEYS if key in body)])
    return price.cost(size + _MESSAGE_TOKENS * len(messages) + _TEMPLATE_TOKENS, longest * answers)


def _bytes(text: str) -> int:
    """Return the bytes of ``text`` in UTF-8, in the longest of its normal forms."""
    if text.isascii():
        return len(text)
    forms = (unicodedata.normalize(form, text) for form in _FORMS)
    return max(len(form.encode("utf-8", "replace")) for form in (text, *forms))


def is_local(url: str) -> bool:
    """Return whether ``url`` is on this machine."""
    try:
        return ipaddress.ip_address(host(url)).is_loopback
    except ValueError:
        return host(url) == "localhost"


def host(url: str) -> str:
    """Return the host in ``url``; nothing where it is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def dollars(usd: int) -> float:
    """Return billionths of a dollar in dollars."""
    return usd / BILLION


def _a_million(price_input: float, price_output: float) -> Price:
    return Price(price_input * BILLION / 1e6, price_output * BILLION / 1e6)


@cache
def _table() -> dict[str, list[float]]:
    table: dict[str, list[float]] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return table


def _looked_up(settings: ChatSettings) -> Price | None:
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415 - an optional extra
    except ImportError:
        return None
    million = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    try:
        found = calc_price(million, model_ref=settings.model, provider_api_url=settings.base_url)
    except LookupError:
        return None
    return _a_million(float(found.input_price), float(found.output_price))
