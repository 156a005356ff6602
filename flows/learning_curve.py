"""`angle-adapt learning-curve`: what more labels would bring, and what they would cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from flows import ablation, listing, planning, pricing, reporting, trial_plan, trial_run
from flows.trial_plan import Domain, Plan
from flows.trial_run import Outcome
from pipeline import runs
from pipeline.artifacts import IndexEntry, Store
from pipeline.config import DomainConfig
from pipeline.disk import write_atomically
from pipeline.errors import ConfigError
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.verdict import signed
from pipeline.records import Record
from pipeline.sections.labels import GenerateSettings
from pipeline.settings import home
from pipeline.trials import curve, table
from pipeline.trials.curve import Fit, More
from pipeline.trials.grid import Trial

KIND: Final = "learning-curve"
FILE: Final = "learning_curve.json"
AHEAD: Final = (0.25, 1.0)  # how many more labels are looked at, in times those there are


class Asked(NamedTuple):
    """What the command line asks for."""

    domain: str
    settings: Sequence[str]
    shares: tuple[float, ...]
    more: tuple[int, ...] = ()
    seeds: int = 1


class Prepared(NamedTuple):
    """The domain, and what training on every share would take."""

    domain: Domain
    asked: Asked
    plan: Plan


class Offer(Record):
    """More labels: what they would bring, and what they would cost.

    ``usd`` is what chat models would be paid, None where no one knows a price; ``seconds`` is the
    time of embedded annotators and of training on all.
    """

    brings: More
    usd: float | None
    seconds: float


class Curve(Record):
    """A learning curve as it is written down; ``model`` is the digest of the model it ends at."""

    domain: str
    name: str
    created: str
    command: dict[str, Any]
    labels: int
    model: str
    annotators: tuple[str, ...]
    dev: Fit
    test: Fit
    offers: tuple[Offer, ...]
    says: str
    versions: dict[str, str]


def numbers(text: str) -> tuple[float, ...]:
    """Return the shares in ``text``, ascending, each once.

    Raises:
        ConfigError: when they are not two numbers or more in (0, 1].
    """
    try:
        found = sorted({float(word) for word in text.split(",") if word.strip()})
    except ValueError:
        found = []
    if len(found) < 2 or not 0 < found[0] <= found[-1] <= 1:
        message = f"--shares {text!r}: give two or more, above 0 and at most 1, as 0.25,0.5,1"
        raise ConfigError(message)
    return tuple(found)


def counts(text: str) -> tuple[int, ...]:
    """Return the numbers of labels in ``text``, ascending.

    Raises:
        ConfigError: when one is not a whole number above 0.
    """
    try:
        found = sorted({int(word) for word in text.split(",") if word.strip()})
    except ValueError:
        found = [0]
    if found and found[0] < 1:
        message = f"--more {text!r}: give whole numbers above 0, as 500,2000"
        raise ConfigError(message)
    return tuple(found)


def prepare(asked: Asked) -> Prepared:
    """Return what the curve takes, once everything was checked.

    Raises:
        AngleAdaptError: no gold set, or whatever else a run would end by.
    """
    given = trial_plan.domain(asked.domain, asked.settings)
    trials = [
        Trial(name=f"{100 * share:g} % of the pairs", changes={"train.share": share})
        for share in asked.shares
    ]
    return Prepared(given, asked, trial_plan.plan(
        given.config, trial_plan.attempts(given, trials, asked.seeds)
    ))  # fmt: skip


def run(prepared: Prepared, *, ephemeral: bool = False, debug: bool = False) -> Curve:
    """Train on every share, and return the curve."""
    asked = prepared.asked
    name = runs.new_id(f"{prepared.domain.config.domain}-{KIND}")
    needed = len(prepared.plan.attempts)
    how = trial_run.How(KIND, name, needed, ephemeral, debug)
    return concluded(prepared, name, trial_run.execute(asked.domain, prepared.plan, how))


def concluded(prepared: Prepared, name: str, outcomes: Sequence[Outcome]) -> Curve:
    """Return the curve through what was measured."""
    config, asked, store = prepared.domain.config, prepared.asked, Store(home())
    settings = config.evaluate
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    by_share = [trial_run.of_trial(outcomes, n, asked.seeds) for n in range(len(asked.shares))]
    sizes = [store.json(_entry(some[0], "train").reference)["pairs"] for some in by_share]
    dev, test = (
        curve.fit(
            asked.shares, sizes,
            [table.scored([one.scores for one in some], split) for some in by_share], bootstrap,
        )
        for split in ("dev", "test")
    )  # fmt: skip
    last, labels = by_share[-1][0], config.mine.pairs
    kept = min(1.0, sizes[-1] / asked.shares[-1] / labels)
    wanted = asked.more or tuple(round(times * labels) for times in AHEAD)
    return Curve(
        domain=config.domain, name=name, created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=asked._asdict(), labels=labels, model=_entry(last, "train").reference.digest,
        annotators=config.label.annotators, dev=dev, test=test, says=curve.stated(dev),
        offers=tuple(_offer(prepared, curve.more(dev, count, kept)) for count in wanted),
        versions=runs.versions(),
    )  # fmt: skip


def _entry(one: Outcome, step: str) -> IndexEntry:
    return (one.entries or {})[step]


def _offer(prepared: Prepared, brings: More) -> Offer:
    """Return what more labels cost: the price of chat models, and time."""
    config, texts = prepared.domain.config, prepared.plan.documents
    plain = config.label.model_copy(update={"generate": GenerateSettings()})
    asked = pricing.asked(config.model_copy(update={"label": plain}), texts, brings.labels)
    prices = [one.usd for one in asked]
    before, after = (
        planning.stage_seconds(_with_pairs(config, pairs), texts)
        for pairs in (config.mine.pairs, config.mine.pairs + brings.labels)
    )
    labelling = after.get("label", 0.0) - before.get("label", 0.0)
    return Offer(
        brings=brings, seconds=max(0.0, labelling) + after.get("train", 0.0),
        usd=None if None in prices else sum(price for price in prices if price is not None),
    )  # fmt: skip


def _with_pairs(config: DomainConfig, pairs: int) -> DomainConfig:
    return config.model_copy(update={"mine": config.mine.model_copy(update={"pairs": pairs})})


# Writing down


class Written(NamedTuple):
    """The folder that a curve was written into, and the reports that tell of it now."""

    folder: Path
    reports: list[Path]


def write(found: Curve, out: Path | None) -> Written:
    """Write the curve, for people and for the reports of runs of the model that it ends at.

    The report of a later run finds it too.
    """
    text = found.model_dump_json(indent=2) + "\n"
    folder = ablation.place(out, found.name)
    write_atomically(folder / FILE, text)
    return Written(folder, reporting.add_curve(found.model, text))


def as_text(found: Curve) -> str:
    """Return the curve for a terminal, what it says, and what more labels would bring and cost."""
    rows = [("SHARE", "PAIRS", "DEV ρ", "INTERVAL", "TEST ρ", "INTERVAL")]
    for dev, test in zip(found.dev.points, found.test.points, strict=True):
        cells = [f"{100 * dev.share:g} %", f"{dev.pairs:,}"]
        for point in (dev, test):
            low, high = point.interval
            cells += [f"{point.rho:.3f}", f"{low:.3f} to {high:.3f}"]
        rows.append(tuple(cells))  # type: ignore[arg-type]
    lines = [listing.aligned(rows), "", f"dev: {found.says}", f"test: {curve.stated(found.test)}"]
    lines += [sources(found), "", *(f"{line}" for line in map(offered, found.offers))]
    return "\n".join(lines)


def sources(found: Curve) -> str:
    """Return what the intervals hold."""
    if found.dev.seeds == 1:
        return (
            "Intervals are over the gold pairs. One seed: another draw of the pairs and another "
            "training are not in them; --seeds 3 adds both."
        )
    return f"Intervals are over the gold pairs and {found.dev.seeds} seeds."


def offered(offer: Offer) -> str:
    """Return what more labels would bring and cost, in a line."""
    brings = offer.brings
    price = "price not known" if offer.usd is None else f"${offer.usd:.2f} for chat models"
    cost = f"{price}, about {planning.duration(offer.seconds)} of labelling and training"
    far = " Extrapolated far, beyond twice the pairs: a guess." if brings.far else ""
    return (
        f"{brings.labels:,} more labels ≈ {signed(brings.gain)} ± {brings.within:.3f} ρ on dev "
        f"({cost}).{far}"
    )
