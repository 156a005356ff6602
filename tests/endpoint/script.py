"""Scripts: which request meets which fault. A script is JSON; see the package's docstring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tests.endpoint.faults import FAULTS, Fault
from tests.endpoint.model import Manner, share

CHAT: Final = "chat"
LINE: Final = "batch_line"  # a line of a batch: asked when the batch ends
ROUTES: Final = frozenset({CHAT, LINE, "models", "files", "batches"})


class ScriptError(ValueError):
    """A script that cannot be followed; says what is wrong with it."""


class Limits(NamedTuple):
    """What the endpoint really enforces; None is no limit."""

    requests: float | None = None  # a window
    tokens: float | None = None  # a window: of the prompt and the most that may be answered
    concurrency: int | None = None  # at a time
    window: float = 60.0  # seconds


class BatchPlan(NamedTuple):
    """How a batch goes."""

    validating: int = 1  # polls that find it in this status
    in_progress: int = 1
    finalizing: int = 0
    end: str = "completed"  # or failed, expired
    answered: float = 0.5  # the share of lines answered before it expires or is cancelled
    shuffle: bool = True  # the order of lines in the files
    duplicate: tuple[str, ...] = ()  # custom_ids that are answered twice
    leave_out: tuple[str, ...] = ()  # custom_ids of which nothing is said in any file
    unknown: int = 0  # answers to a custom_id that nobody sent
    broken_line: bool = False  # a line of the output that is no JSON


class Rule(NamedTuple):
    """A fault and the requests that it happens to."""

    fault: str
    route: str = CHAT
    requests: tuple[int, ...] = ()  # numbers, from 1, among the requests of the route; none: all
    start: int = 1  # the first number
    contains: str = ""  # part of the body or of the text of a message
    times: int | None = None  # how often in all; None: always
    each: int | None = None  # how often for the same messages
    billed: bool | None = None  # None: as in the table
    options: Mapping[str, Any] = {}


class Script(NamedTuple):
    """Everything that the endpoint does besides answering."""

    seed: int = 0
    latency: tuple[float, float] = (0.0, 0.0)  # seconds: the least and the most
    rates: Mapping[str, float] = {}  # shares of requests, by fault
    rules: tuple[Rule, ...] = ()
    limits: Limits = Limits()
    headers: Mapping[str, str] = {}  # on every answer to a chat request
    models: tuple[str, ...] = ()  # others are not found; none: any will do
    key: str = ""  # another is refused; none: any will do
    grace: float = 0.05  # seconds in which requests may cross the reply that asks to wait
    model: Manner = Manner()
    batch: BatchPlan = BatchPlan()


class Asked(NamedTuple):
    """What rules look at."""

    route: str
    number: int
    key: str
    seen: int  # how often the same messages were asked before
    text: str  # the raw body and the text of its messages
    body: Mapping[str, Any]


class Chosen(NamedTuple):
    """A fault with the options and the billing that hold for this request."""

    name: str
    fault: Fault
    billed: bool
    options: Mapping[str, Any]


def parse(values: Any) -> Script:
    """Return the script that a JSON object describes.

    Raises:
        ScriptError: names what is unknown or out of range, and what there is.
    """
    given = _known(values, Script._fields, "the script")
    rates = _known(given.get("rates", {}), FAULTS, "rates")
    if sum(rates.values()) > 1:
        raise ScriptError("rates: more than 1 in all")
    latency = given.get("latency", 0.0)
    low, high = latency if isinstance(latency, list) else (latency, latency)
    limits = _known(given.get("limits", {}), Limits._fields, "limits")
    manner = _known(given.get("model", {}), Manner._fields, "model")
    batch = _known(given.get("batch", {}), BatchPlan._fields, "batch")
    parsed = {
        "latency": (float(low), float(high)),
        "rules": tuple(_rule(rule) for rule in given.get("rules", [])),
        "limits": Limits(**limits),
        "models": tuple(given.get("models", ())),
        "model": Manner(**manner)._replace(grades=tuple(manner.get("grades", Manner().grades))),
        "batch": BatchPlan(**batch),
    }
    return Script(**(given | parsed))


def _rule(values: Any) -> Rule:
    name = values.get("fault") if isinstance(values, Mapping) else None
    if name not in FAULTS:
        raise ScriptError(f"rules: there is no fault {name!r}; there are {', '.join(FAULTS)}")
    options = FAULTS[name].options
    given = _known(values, [*Rule._fields[:-1], *options], f"the rule of {name}")
    own = {key: given.pop(key) for key in options if key in given}
    rule = Rule(**given, options={**options, **own})
    if rule.route not in ROUTES:
        raise ScriptError(f"rules: there is no route {rule.route!r}; there are {sorted(ROUTES)}")
    if _blind(rule) and (rule.contains or rule.each is not None or rule.billed):
        raise ScriptError("rules: close_unread knows no body to compare or to bill")
    if not _fits(FAULTS[name], rule.route):
        raise ScriptError(f"rules: {name} cannot happen to the route {rule.route!r}")
    return rule._replace(requests=tuple(rule.requests))


def _fits(fault: Fault, route: str) -> bool:
    """Return whether the fault makes sense: lines have no connection, files no completion."""
    if route == LINE:
        return fault.broken is None
    return route == CHAT or fault.broken is not None or fault.replace is not None


def _blind(rule: Rule) -> bool:
    """Return whether the rule is for requests whose body is not read."""
    return rule.fault == "close_unread"


def _known(values: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ScriptError(f"{where}: not a JSON object")
    unknown = [name for name in values if name not in names]
    if unknown:
        raise ScriptError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(names)}")
    return dict(values)


class Play:
    """A script under way: remembers how often each rule was used."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._numbers: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._used: Counter[int] = Counter()
        self._used_for: Counter[tuple[int, str]] = Counter()
        self.needs_text = any(rule.contains for rule in script.rules)
        self._rules = [pair for pair in enumerate(script.rules) if not _blind(pair[1])]
        self._unread = [pair for pair in enumerate(script.rules) if _blind(pair[1])]

    def count(self, route: str) -> int:
        """Return the number of a new request of this route, from 1."""
        self._numbers[route] += 1
        return self._numbers[route]

    def see(self, key: str) -> int:
        """Return how often this key was asked before."""
        self._seen[key] += 1
        return self._seen[key] - 1

    def unread(self, route: str) -> bool:
        """Return whether the next request of the route is to be left unread."""
        if not self._unread:
            return False
        asked = Asked(route, self._numbers[route] + 1, "", 0, "", {})
        return self._first(self._unread, asked) is not None

    def choose(self, asked: Asked) -> Chosen | None:
        """Return the fault of the first rule that holds, or one by rate, or None."""
        rule = self._first(self._rules, asked)
        if rule is not None:
            fault = FAULTS[rule.fault]
            billed = fault.billed if rule.billed is None else rule.billed
            return Chosen(rule.fault, fault, billed, rule.options)
        if asked.route != CHAT or not self.script.rates:
            return None
        point = share(self.script.seed, asked.key, asked.seen)
        for name, rate in self.script.rates.items():
            point -= rate
            if point < 0:
                return Chosen(name, FAULTS[name], FAULTS[name].billed, FAULTS[name].options)
        return None

    def latency(self, asked: Asked) -> float:
        """Return how long the answer takes, in seconds."""
        low, high = self.script.latency
        if low == high:
            return low
        return low + (high - low) * share("latency", self.script.seed, asked.key, asked.seen)

    def _first(self, rules: Iterable[tuple[int, Rule]], asked: Asked) -> Rule | None:
        for place, rule in rules:
            if self._holds(rule, place, asked):
                self._used[place] += 1
                self._used_for[place, asked.key] += 1
                return rule
        return None

    def _holds(self, rule: Rule, place: int, asked: Asked) -> bool:
        return (
            rule.route == asked.route
            and asked.number >= rule.start
            and (not rule.requests or asked.number in rule.requests)
            and (rule.times is None or self._used[place] < rule.times)
            and (rule.each is None or self._used_for[place, asked.key] < rule.each)
            and rule.contains in asked.text
            and bool(FAULTS[rule.fault].when(asked.body))
        )
