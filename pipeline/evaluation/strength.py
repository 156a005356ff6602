"""How strong the adapter shall be: dev pairs scored at several strengths, and one chosen by a rule.

Nothing is trained. At strength 0 the model is its backbone, at 1 the model as trained
(`pipeline.encoder.strength`); what lies between trades what was learned for what was known before,
as in LM-Cocktail (Xiao et al., arXiv 2311.13534) and WiSE-FT (Wortsman et al., arXiv 2109.01903).

The rule. It sees dev pairs alone, so test figures of the chosen strength stay honest.

1. A strength is **allowed** when Spearman's ρ on the general dev pairs is not lower than that of
   strength 0 by more than the allowed loss. Without general dev pairs all are allowed; 0 always is.
2. Of the allowed, the one with the highest ρ on the domain's dev pairs is **best**. Every allowed
   strength whose ρ is lower by at most 0.005, or by at most two standard errors of the difference
   (paired bootstrap over the pairs), is **as good**: what noise may have done moves nothing. It is
   the rule of standard errors of Breiman et al. 1984, here towards the model as trained, and with
   two because leaving that model takes more evidence than staying with it.
3. Of those as good, the one nearest 1 is chosen; of two as near, the weaker.

Fewer than 30 pairs rank nothing and forbid nothing. So without domain dev pairs the allowed
strength nearest 1 is chosen, and without any dev pairs 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pipeline.encoder import Vectors, cosine
from pipeline.evaluation import resampling
from pipeline.evaluation.metrics import Floats, spearman
from pipeline.evaluation.resampling import Bootstrap, Counts
from pipeline.evaluation.significance import spearmans
from pipeline.records import Record, ScoredTexts
from pipeline.settings import Home

STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
TOLERANCE: Final = 0.005
ERRORS: Final = 2.0  # standard errors that count as noise
FEWEST: Final = 30
TRAINED: Final = 1.0

_EDGE: Final = 1e-9  # differences of floats that shall count as equal


class Options(NamedTuple):
    """Which strengths are tried (0 and 1 always are), and the numbers of the rule."""

    strengths: Sequence[float] = STRENGTHS
    allowed_loss: float = 0.02
    tolerance: float = TOLERANCE
    bootstrap: Bootstrap = Bootstrap(1_000, 0.95, 13)


class Point(Record):
    """One strength: ρ on the domain's and on the general dev pairs, None where there are too few.

    ``noise`` is the standard error of the difference to the best strength, None where nothing was
    ranked and 0 for the best itself.
    """

    strength: float
    domain: float | None
    general: float | None
    allowed: bool
    as_good: bool
    noise: float | None


class Sweep(Record):
    """All points by strength, the Pareto front, and the strength that was chosen, with the reason.

    ``front`` are the strengths that no other beats in one ρ without falling behind in the other,
    ascending; of one measure those that have its highest value.
    """

    points: tuple[Point, ...]
    front: tuple[float, ...]
    chosen: float
    reason: str
    domain_pairs: int
    general_pairs: int
    allowed_loss: float
    tolerance: float
    errors: float  # standard errors that count as noise


def sweep(
    model_folder: Path,
    home: Home,
    dev: Sequence[ScoredTexts],
    general_dev: Sequence[ScoredTexts] = (),
    options: Options | None = None,
) -> Sweep:
    """Score the dev pairs at every strength and choose one by the rule above.

    Layers below the adapters run once for each text, whatever the number of strengths. No model is
    loaded when both sets hold fewer than 30 pairs, or no strength but 1 is to be tried.

    Raises:
        InputError: when the folder has no adapter, one that no strength is defined for, or a
            strength is not from 0 to 2.
    """
    options = options or Options()
    sets = {"domain": list(dev), "general": list(general_dev)}
    kept = {name: pairs for name, pairs in sets.items() if len(pairs) >= FEWEST}
    if not kept or not set(options.strengths) - {TRAINED}:
        why = "only strength 1 is to be tried" if kept else f"fewer than {FEWEST} dev pairs of each"
        point = Point(
            strength=TRAINED, domain=None, general=None, allowed=True, as_good=True, noise=None
        )
        return _sweep([point], sets, options).model_copy(
            update={"reason": f"Strength 1, as trained: {why}."}
        )
    strengths = sorted({*map(float, options.strengths), 0.0, TRAINED})
    cosines = _cosines(model_folder, home, kept, strengths)
    gold = {name: np.array([pair.score for pair in pairs]) for name, pairs in kept.items()}
    return choose(gold, cosines, sets, options)


Cosines = Mapping[float, Mapping[str, Floats]]


def _cosines(
    folder: Path, home: Home, sets: Mapping[str, Sequence[ScoredTexts]], strengths: Sequence[float]
) -> Cosines:
    """Return the cosines of every set's pairs at every strength."""
    from pipeline.encoder.strength import at_strengths  # noqa: PLC0415 - torch only when needed

    every = [text for pairs in sets.values() for p in pairs for text in (p.sentence1, p.sentence2)]
    texts = list(dict.fromkeys(every))
    row = {text: number for number, text in enumerate(texts)}
    places = {
        name: np.array([(row[pair.sentence1], row[pair.sentence2]) for pair in pairs]).T
        for name, pairs in sets.items()
    }

    def of(vectors: Vectors) -> dict[str, Floats]:
        return {name: cosine(vectors[one], vectors[two]) for name, (one, two) in places.items()}

    return {
        strength: of(vectors) for strength, vectors in at_strengths(folder, home, texts, strengths)
    }


def choose(
    gold: Mapping[str, Floats],
    cosines: Cosines,
    sets: Mapping[str, Sequence[ScoredTexts]],
    options: Options,
) -> Sweep:
    """Return the choice, given gold scores and cosines of the sets "domain" and "general".

    Args:
        gold: scores of each set that counts, shape (pairs,).
        cosines: by strength, 0 and 1 among them, then by set, shape (pairs,).
        sets: the pairs of both sets, for their number.
        options: see `Options`.
    """
    measured = {
        strength: {name: spearman(gold[name], found[name]) for name in gold}
        for strength, found in cosines.items()
    }
    allowed = [s for s, rho in measured.items() if _allowed(rho, measured[0.0], options)]
    noise = _noise(gold, cosines, _best(measured, allowed), options)
    good = _as_good(measured, allowed, noise, options)
    points = [
        Point(
            strength=strength, domain=rho.get("domain"), general=rho.get("general"),
            allowed=strength in allowed, as_good=strength in good, noise=noise.get(strength),
        )
        for strength, rho in sorted(measured.items())
    ]  # fmt: skip
    return _sweep(points, sets, options)


Rhos = Mapping[float, Mapping[str, float]]


def _allowed(rho: Mapping[str, float], backbone: Mapping[str, float], options: Options) -> bool:
    if "general" not in rho:
        return True
    return rho["general"] >= backbone["general"] - options.allowed_loss - _EDGE


def _best(measured: Rhos, allowed: Sequence[float]) -> float | None:
    """Return the allowed strength with the highest domain ρ, None where none has one."""
    known = [strength for strength in allowed if "domain" in measured[strength]]
    return max(known, key=lambda strength: measured[strength]["domain"], default=None)


def _noise(
    gold: Mapping[str, Floats], cosines: Cosines, best: float | None, options: Options
) -> dict[float, float]:
    """Return the standard error of each strength's difference to the best, by strength."""
    if best is None:
        return {}
    wanted, strengths = gold["domain"], [strength for strength in cosines if strength != best]
    rhos = spearmans(wanted, [cosines[s]["domain"] for s in (best, *strengths)])

    def differences(drawn: Counts) -> Floats:
        found = rhos(drawn)
        return found[:, 1:] - found[:, :1]

    spread = resampling.draws(len(wanted), options.bootstrap, differences).std(axis=0, ddof=1)
    return {best: 0.0, **dict(zip(strengths, spread.tolist(), strict=True))}


def _as_good(
    measured: Rhos, allowed: Sequence[float], noise: Mapping[float, float], options: Options
) -> list[float]:
    if not noise:
        return list(allowed)
    top = max(measured[strength]["domain"] for strength in allowed)
    return [
        strength
        for strength in allowed
        if top - measured[strength]["domain"]
        <= max(options.tolerance, ERRORS * noise[strength]) + _EDGE
    ]


def front(points: Sequence[Point]) -> tuple[float, ...]:
    """Return the strengths of the Pareto front, ascending."""
    rows = [
        (point.strength, [value for value in (point.domain, point.general) if value is not None])
        for point in points
    ]

    def beaten(values: Sequence[float]) -> bool:
        return any(
            all(o >= v for o, v in zip(other, values, strict=True)) and other != values
            for _, other in rows
        )

    return tuple(sorted(strength for strength, values in rows if values and not beaten(values)))


def _sweep(
    points: Sequence[Point], sets: Mapping[str, Sequence[ScoredTexts]], options: Options
) -> Sweep:
    good = [point.strength for point in points if point.as_good]
    chosen = min(good, key=lambda strength: (abs(strength - TRAINED), strength))
    return Sweep(
        points=tuple(points),
        front=front(points),
        chosen=chosen,
        reason=_reason(points, chosen, options),
        domain_pairs=len(sets["domain"]),
        general_pairs=len(sets["general"]),
        allowed_loss=options.allowed_loss,
        tolerance=options.tolerance,
        errors=ERRORS,
    )


def _reason(points: Sequence[Point], chosen: float, options: Options) -> str:
    """Return in words why this strength and not another."""
    at = {point.strength: point for point in points}
    trained, taken = at[TRAINED], at[chosen]
    if chosen == TRAINED:
        if trained.domain is None:
            return "Strength 1, as trained: no domain dev pairs rank the strengths."
        return "Strength 1, as trained: no other is clearly better on the dev pairs."
    if not trained.allowed:
        lost = (at[0.0].general or 0.0) - (trained.general or 0.0)
        return (
            f"Strength {chosen:g}: at 1 the general dev pairs lose {lost:.3f} of ρ, more than the "
            f"{options.allowed_loss:g} allowed."
        )
    gain = (taken.domain or 0.0) - (trained.domain or 0.0)
    return f"Strength {chosen:g}: ρ on the domain's dev pairs is {gain:.3f} higher than at 1."
