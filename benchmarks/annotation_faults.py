"""What becomes of every pair when an endpoint fails in all ways, and of answers of any shape."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks._record import Figure, Measurement
from pipeline import prompts
from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Opinions, Terms, TextPair
from pipeline.annotation.scoring import OUTPUTS, Unreadable
from pipeline.chat.endpoint import Answer
from pipeline.chat.endpoint import Endpoint as ChatEndpoint
from pipeline.chat.engine import Ask, Engine, Result, Verdict
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price
from pipeline.chat.replies import Reply
from pipeline.journal.database import connect
from pipeline.journal.entries import Asking, Budget, Cost, Question
from pipeline.journal.writer import JournalWriter
from pipeline.sections import ChatSettings
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import Endpoint, start

log = logging.getLogger(__name__)

CLAIM: Final = (
    "With 30 % of all requests failing in one of 50 ways, each of 1,000 pairs ends with a label or "
    "a reason, and none is billed twice. However an endpoint says how long to wait, none of 64 "
    "workers comes earlier. A question that always fails ends after six tries. Of 10,000 answers "
    "of any shape none leaves a label outside the scale, and all are kept byte for byte."
)
SEED: Final = 17
# These end a run by design, or ask to wait for an hour.
DELIBERATE: Final = frozenset(
    {"no_quota", "wrong_key", "echoed_key", "model_not_found", "rate_limited_long"}
)
# A second question of the same words is meant: twice the length for an answer that was cut off.
ASKED_AGAIN: Final = frozenset({"cut_off", "reasoning_only"})
WAITS: Final = ("rate_limited", "rate_limited_float", "rate_limited_ms", "rate_limited_date",
                "rate_limited_reset", "unavailable_retry")  # fmt: skip
WORDS: Final = ("open", "close", "read", "write", "file", "socket", "list", "sort", "number",
                "size", "return", "path", "name", "thread", "lock", "queue")  # fmt: skip


class Sizes(NamedTuple):
    """How much is asked."""

    pairs: int  # at an endpoint that fails
    waiting: int  # for each form of asking to wait
    answers: int  # of any shape


FULL: Final = Sizes(1_000, 600, 10_000)
QUICK: Final = Sizes(150, 120, 2_000)


def measure(*, quick: bool) -> Measurement:
    """Run all trials; ``quick`` asks less in each."""
    sizes = QUICK if quick else FULL
    figures = [
        *_mixed(sizes.pairs), *_waits(sizes.waiting), *_permanent(), *_fuzzed(sizes.answers)
    ]  # fmt: skip
    return Measurement(tuple(figures), SEED)


def pairs_of(count: int) -> list[TextPair]:
    """Return pairs of texts, no two alike."""
    draw = random.Random(SEED)  # noqa: S311 - decides nothing but words

    def text(name: str) -> str:
        return " ".join([*draw.sample(WORDS, 5), name])

    return [(text(f"a{number}"), text(f"b{number}")) for number in range(count)]


@contextmanager
def annotators(url: str, timeout: float = 60.0) -> Iterator[_Annotators]:
    """Give annotators with an empty journal."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        yield _Annotators(url, Path(folder) / "requests.sqlite", timeout)


class _Annotators:
    """Label at one endpoint, on one journal."""

    def __init__(self, url: str, journal: Path, timeout: float) -> None:
        self._journal = journal
        self._settings = ChatSettings(
            base_url=url, model="m", key="", orders=1, concurrency=64, timeout=timeout
        )

    def label(self, pairs: list[TextPair], *, resend: bool = False) -> Opinions:
        """Return what an annotator says of ``pairs``."""
        terms = Terms(str(self._journal), "faults", resend=resend)
        return ChatAnnotator("endpoint", self._settings, terms).annotate(pairs)


def _mixed(count: int) -> list[Figure]:
    names = [name for name in FAULTS if name not in DELIBERATE]
    rates = dict.fromkeys(names, 0.3 / len(names))
    log.info("%d pairs, %d kinds of faults", count, len(names))
    with (
        start({"rates": rates, "seed": SEED, "latency": [0.005, 0.02]}) as endpoint,
        annotators(endpoint.url, timeout=1.5) as ours,
    ):
        pairs = pairs_of(count)
        said = ours.label(pairs)
        summary = endpoint.summary()
        twice = _billed_twice(endpoint)
        reruns = [ours.label(pairs, resend=True) for _ in range(3)]
    ended = [math.isfinite(score) or bool(why)
             for score, why in zip(said.scores, said.reasons, strict=True)]  # fmt: skip
    met = sum(times for name, times in summary["answered"].items() if name in FAULTS)
    return [
        Figure.of(f"mixed faults, {count:,} pairs: kinds", len(names), "", ">=", 50),
        Figure.of("requests that met one", 100 * met / summary["asked"], "%", ">=", 25),
        Figure.of("pairs without a label or a reason", ended.count(False), "", "<=", 0),
        Figure.of("pairs billed twice", twice, "", "<=", 0),
        Figure.of("requests before a wait was over", summary["early_sends"], "", "<=", 0),
        Figure.of("pairs labelled at once", _labelled(said), "%", ">="),
        Figure.of("after three more runs that may pay twice", _labelled(reruns[-1]), "%", ">="),
    ]


def _labelled(said: Opinions) -> float:
    return 100 * sum(map(math.isfinite, said.scores)) / len(said.scores)


def _billed_twice(endpoint: Endpoint) -> int:
    """Return how many questions were billed again although an answer could have been used."""
    billed: dict[str, list[str]] = {}
    for entry in endpoint.ledger():
        if entry["billed"]:
            billed.setdefault(entry["key"], []).append(entry["answered"])
    return sum(len(names) > 1 and names[0] not in ASKED_AGAIN for names in billed.values())


def _waits(count: int) -> list[Figure]:
    early, told = 0, 0
    with start({"latency": [0.005, 0.02]}) as endpoint:
        for name in WAITS:
            log.info("%s", FAULTS[name].does)
            moments = [20, count // 2, count // 2 + 1]
            endpoint.script({"rules": [{"fault": name, "requests": moments}], "latency": 0.01})
            endpoint.reset()
            with annotators(endpoint.url) as ours:
                ours.label(pairs_of(count))
            summary = endpoint.summary()
            early, told = early + summary["early_sends"], told + summary["answered"][name]
        endpoint.script({"limits": {"requests": count // 4, "window": 1.0}, "latency": 0.01})
        endpoint.reset()
        with annotators(endpoint.url) as ours:
            ours.label(pairs_of(count))
        early += endpoint.summary()["early_sends"]
    forms = len(WAITS) + 1  # and a limit that is told before it is reached
    return [
        Figure.of(f"waits: forms of asking, {told} times", forms, "", ">=", 7),
        Figure.of("requests before the wait was over", early, "", "<=", 0),
    ]


def _permanent() -> list[Figure]:
    log.info("failures that never end")
    with start({"rules": [{"fault": "server_error", "contains": " b7\\n"}]}) as endpoint:
        with annotators(endpoint.url) as ours:
            begin = time.monotonic()
            said = ours.label(pairs_of(50))
            seconds = time.monotonic() - begin
            tries = endpoint.summary()["answered"]["server_error"]
        lost = sum(bool(why) for why in said.reasons)
    return [
        Figure.of("a question that always fails: tries", tries, "", "<=", 6),
        Figure.of("until it is given up", seconds, "s", "<=", 900),
        Figure.of("pairs lost besides it", lost - 1, "", "<=", 0),
    ]


class _Shapeless(ChatEndpoint):
    """An endpoint without a connection, whose answers are of any shape."""

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__("shapeless", settings)
        self.sent: dict[str, bytes] = {}
        self._draw = random.Random(SEED)  # noqa: S311 - decides nothing but answers

    async def send(self, body: Mapping[str, Any]) -> Answer:
        """Return an answer; the first one is good, so that it passes for an endpoint at all."""
        answer = fuzzed(self._draw) if self.sent else good(3)
        self.sent[body["number"]] = answer
        return Answer(answer, None)


def good(score: Any, **choice: Any) -> bytes:  # noqa: ANN401 - JSON of any shape
    """Return a completion with a score."""
    tokens = [{"token": part, "logprob": -0.1, "top_logprobs": []}
              for part in ('{"', "score", '":', str(score), "}")]  # fmt: skip
    made = {
        "index": 0, "finish_reason": "stop", "logprobs": {"content": tokens},
        "message": {"role": "assistant", "content": json.dumps({"score": score})},
    } | choice  # fmt: skip
    usage = {"prompt_tokens": 400, "completion_tokens": 6}
    return json.dumps({"id": "x", "model": "m", "choices": [made], "usage": usage}).encode()


SCORES: Final[tuple[Any, ...]] = (
    0, 3, 5, 6, -1, 97, 3.5, 4.0, 1e308, float("nan"), float("inf"), "3", "5/5", "five", "", None,
    True, [3], {"score": 3}, "\uff13", "\u00b2", "0x3", "3\u0000", 10**40,
)  # fmt: skip
TEXTS: Final = (
    "4", "Score: 4", "4 out of 5", "4/5", "4/10", "between 3 and 4", "**5**", "6", "-2", "4.5",
    "The texts differ in 3 of 5 points.", "I cannot answer.", '{"score": 4}{"score": 1}',
    '{"score": 4, "score": 1}', '```json\n{"score": 2}\n```', '{"grade": 3}', "[4]", "4" * 400,
    "<think>maybe 3</think>4", "<think>4", "4\n\n5", "Infinity", "\ufeff4",
    "\u7b54\u6848\uff1a4", "4\u5206",
)  # fmt: skip


def fuzzed(draw: random.Random) -> bytes:
    """Return an answer of any shape: a score, a text, a broken body, or bytes."""
    kind = draw.randrange(5)
    if kind == 0:
        return good(draw.choice(SCORES))
    if kind == 1:
        message = {"role": "assistant", "content": draw.choice(TEXTS)}
        return good(3, message=message, logprobs=draw.choice([None, [], {}, {"content": None}]))
    body = bytearray(good(draw.choice(SCORES)))
    if kind == 2:
        return bytes(body[: draw.randrange(len(body))])
    if kind == 3:
        for _ in range(draw.randint(1, 8)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        return bytes(body)
    return draw.randbytes(draw.randrange(200))


def _fuzzed(count: int) -> list[Figure]:
    log.info("%d answers of any shape", count)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        journal = Path(folder) / "requests.sqlite"
        sent, results = asyncio.run(_asked(journal, count))
        with closing(connect(str(journal))) as database:
            kept: dict[str, bytes] = dict(database.execute("select key, reply from attempt"))
    labels = {key: one.verdict.value.value for key, one in results.items()
              if one.state == "accepted"}  # fmt: skip
    off = [key for key, label in labels.items() if not _said(sent[key], label)]
    reasons = {one.verdict.reason for one in results.values() if one.state != "accepted"}
    return [
        Figure.of(f"{count:,} answers of any shape: labels", len(labels), "", ">=", count / 20),
        Figure.of("reasons for having none", len(reasons), "", ">=", 8),
        Figure.of("labels that are not on the scale or not what was said", len(off), "", "<=", 0),
        Figure.of("answers without a label or a reason", count - len(results), "", "<=", 0),
        Figure.of("answers not kept byte for byte",
                  sum(bytes(kept[key]) != answer for key, answer in sent.items()), "", "<=", 0),
    ]  # fmt: skip


async def _asked(journal: Path, count: int) -> tuple[dict[str, bytes], dict[str, Result]]:
    """Return the answers, and how the questions ended, by their keys."""
    output, prompt = OUTPUTS["score"], prompts.load("similarity.v1")

    def judge(reply: Reply) -> Verdict:
        parsed = output.parse(reply, prompt)
        return Verdict(reason=parsed.reason) if isinstance(parsed, Unreadable) else Verdict(parsed)

    keys = [f"question-{number}" for number in range(count)]
    asks = [Ask(Question(key, "shapeless", key), {"number": key}, Cost(0, 1_000)) for key in keys]
    settings = ChatSettings(base_url="http://127.0.0.1:9/v1", model="m", key="", concurrency=64)
    endpoint = _Shapeless(settings)
    with JournalWriter(str(journal)) as writer:
        planned = [one.question for one in asks]
        await writer.submit(lambda opened: opened.plan(planned))
        asking = Asking("fuzz", "fuzz", Budget(), resend=False)
        engine = Engine(endpoint, writer, asking, Pace(Limits(64)), Price(0.0, 0.0))
        return endpoint.sent, await engine.ask(asks, judge)


def _said(answer: bytes, label: float) -> bool:
    """Return whether a label is a grade of the scale that stands in the answer."""
    grade = round(5 * label)
    on_scale = 0 <= grade <= 5 and math.isclose(5 * label, grade, abs_tol=1e-9)
    return on_scale and str(grade).encode() in answer
