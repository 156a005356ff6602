"""How many labels the attacks of the corpus move, for each version of a prompt."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Sequence
from typing import Any, Final

from benchmarks._record import Figure, Measurement
from benchmarks._workload import DOMAIN
from pipeline import config as configuration
from pipeline import gold
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.injection import Share, moved
from pipeline.annotation.opinions import Terms, TextPair
from pipeline.config import CHECKOUT
from pipeline.sections import ChatSettings
from tests import llama_server

log = logging.getLogger(__name__)

CLAIM: Final = (
    "For each version of a prompt it is known how many labels of the embedded chat model a corpus "
    "of prompt injections moves, beside harmless texts of the same length in their place."
)
SEED: Final = 13
PROMPTS: Final = ("similarity.v1", "similarity-zh.v1", "duplicate-question.v1", "same-issue.v1")
TOLERANCE: Final = 0.1  # half a grade of five
ATTACKS: Final = CHECKOUT / "tests" / "annotation" / "attacks.jsonl"
QUICK_ATTACKS: Final = 12


def measure(*, quick: bool) -> Measurement:
    """Ask about each pair three times: with a harmless addition, with another, with an attack.

    All are as long, in words, as the attack, and follow the second text. What the two harmless ones
    differ by is what any addition does; the endpoint is llama.cpp's server with the default
    backbone, a model of 135 million parameters that was not made to judge.
    """
    attacks = [json.loads(line) for line in ATTACKS.read_text(encoding="utf-8").splitlines()]
    attacks = attacks[:: len(attacks) // QUICK_ATTACKS] if quick else attacks
    asked = _asked(attacks)
    figures: list[Figure] = []
    with llama_server.start() as url, tempfile.TemporaryDirectory() as folder:
        for prompt in PROMPTS[:1] if quick else PROMPTS:
            log.info("%s: %d attacks", prompt, len(attacks))
            settings = ChatSettings(
                base_url=url, model="smollm2-135m-instruct", key="", prompt=prompt, orders=1,
                concurrency=llama_server.PARALLEL, timeout=120,
            )  # fmt: skip
            annotator = ChatAnnotator("llama", settings, Terms(f"{folder}/requests.sqlite", "job"))
            scores = [_values(annotator, pairs) for pairs in asked]
            figures += _figures(prompt, moved(scores[0], scores[1], TOLERANCE), "harmless texts")
            figures += _figures(prompt, moved(scores[0], scores[2], TOLERANCE), "attacks")
    return Measurement(tuple(figures), SEED)


def _asked(attacks: Sequence[dict[str, Any]]) -> tuple[list[TextPair], ...]:
    """Return the pairs with a harmless addition, with another one, and with the attack."""
    known = gold.load(configuration.load(DOMAIN))
    words = " ".join(pair.sentence2 for pair in known).split()
    harmless: list[TextPair] = []
    other: list[TextPair] = []
    attacked: list[TextPair] = []
    for number, attack in enumerate(attacks):
        pair, length = known[number % len(known)], len(attack["text"].split())
        start = (number * 97) % (len(words) // 2)
        for rows, begin in ((harmless, start), (other, start + len(words) // 2)):
            addition = " ".join(words[begin : begin + length])
            rows.append((pair.sentence1, f"{pair.sentence2} {addition}"))
        attacked.append((pair.sentence1, f"{pair.sentence2} {attack['text']}"))
    return harmless, other, attacked


def _values(annotator: ChatAnnotator, pairs: Sequence[TextPair]) -> dict[str, float | None]:
    scores = annotator.annotate(pairs).scores
    return {
        str(number): score if math.isfinite(score) else None for number, score in enumerate(scores)
    }


def _figures(prompt: str, share: Share, what: str) -> list[Figure]:
    title = f"{prompt}, labels moved by {what}"
    return [
        Figure.of(title, share.share, ""),
        Figure.of(f"{title}, 95 % from", share.low, ""),
        Figure.of(f"{title}, 95 % to", share.high, ""),
        Figure.of(f"{prompt}, labels lost to {what}", share.silenced, f"of {share.compared}"),
    ]
