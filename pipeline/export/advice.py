"""What a verdict means for those who own the domain, and what they had best do next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

from pipeline.export.rendering import count, number, signed

HEADLINES: Final = {
    "ship": "The adapted model is measurably better on this domain.",
    "inconclusive": "The figures do not settle whether the adapted model is better.",
    "regress": "The adapted model is measurably worse.",
    "failed": "The run failed before there was a verdict.",
    "interrupted": "The run was interrupted before there was a verdict.",
    "running": "The run has not come to a verdict yet.",
    "completed": "The run ended without a verdict.",
    "partial": "The run ended without a verdict.",
}
LOST_BESIDE: Final = "The adapted model lost what it was not to lose."
ENDED: Final = "Run the same command again: what is finished is kept, and it goes on from there."
POWER: Final = 0.8  # of the minimum detectable effect, as in the evaluation
HOPELESS: Final = 50  # times the items there are, beyond which more of them is no advice

Row = Mapping[str, Any]
Step = dict[str, str]


def headline(word: str, evaluation: Mapping[str, Any]) -> str:
    """Return the verdict in a sentence; a model that lost beside its aim alone is not just worse.

    Empty for a word that is none.
    """
    aim = aim_of(evaluation)
    if word == "regress" and aim is not None and not _fell(aim, aim):
        return LOST_BESIDE
    return HEADLINES.get(word, "")


def means(word: str, evaluation: Mapping[str, Any], right: Mapping[str, float]) -> str:
    """Return what the verdict says about texts of the domain, in words.

    ``right`` is how often each system puts two gold pairs in the right order, empty when unknown.
    """
    aim = aim_of(evaluation)
    if aim is None:
        return ""
    said = {
        "ship": "The gain is beyond what chance explains, and nothing that was measured beside it "
        "lost more than was allowed.",
        "inconclusive": "What was seen may be chance, or a loss beside it is not ruled out.",
        "regress": "Something that was measured lost more than chance explains.",
    }[word]
    return f"{_seen(aim, right)} {said}"


def _seen(aim: Row, right: Mapping[str, float]) -> str:
    if right:
        base, adapted = (round(100 * right[name]) for name in ("base", "adapted"))
        return (
            "Of two pairs of texts, the one that gold calls more alike also scores higher in "
            f"{adapted} of 100 cases; with the base it was {base}."
        )
    found = aim["further"].get("recall@10")
    if found:
        base, adapted = (round(100 * found[name]) for name in ("base", "adapted"))
        return (
            f"Of the texts that answer a query, {adapted} in 100 are among the first ten found; "
            f"with the base it was {base}."
        )
    path = f"from {number(aim['found']['base'])} to {number(aim['found']['adapted'])}"
    return f"On {aim['name']} the measure went {path}."


def steps(
    word: str, evaluation: Mapping[str, Any], run_id: str, learning: Mapping[str, Any]
) -> list[Step]:
    """Return what to do next, each with a command where one does it."""
    if aim_of(evaluation) is None:
        return [_step(ENDED)] if word in ("failed", "interrupted", "partial") else []
    advice = {"ship": _ship, "inconclusive": _inconclusive, "regress": _regress}[word]
    found = [*advice(evaluation, run_id), *_without_model(evaluation["sets"])]
    if word != "ship":
        found += _more_labels(learning)
    return found


def aim_of(evaluation: Mapping[str, Any]) -> Row | None:
    """Return the set that the verdict rests on; None before there is a verdict."""
    return next((row for row in evaluation.get("sets", ()) if row["role"] == "domain"), None)


def _step(text: str, command: str = "") -> Step:
    return {"text": text, "command": command}


def _ship(evaluation: Mapping[str, Any], run_id: str) -> Iterator[Step]:
    yield _step("Write the model for the program that will use it; the copy is measured against "
                "the model.", f"angle-adapt export {run_id} --format sentence-transformers -o "
                "my-model")  # fmt: skip
    yield _step("Encode stored texts again: vectors of the base and of this model cannot be "
                "compared with each other.")  # fmt: skip
    yield _step(_threshold(evaluation.get("changes", {}).get("shift", {})))
    for row in evaluation["sets"]:
        if row["role"] == "general" and row["found"]["low"] < -row["allowed_loss"]:
            yield _step(f"On other text ({row['name']}) a loss of up to "
                        f"{number(-row['found']['low'])} is not ruled out: where such text matters "
                        "to you, measure it with a set of its own (evaluate.sets).")  # fmt: skip


_SYSTEMS: Final = {"char_tfidf": "letters in common (TF-IDF)", "bm25": "words in common (BM25)"}


def _without_model(sets: Sequence[Row]) -> Iterator[Step]:
    """Yield what to do about sets on which a system without a model is ahead of adapted."""
    for row in sets:
        ahead = {name: value for name, value in row.get("references", {}).items()
                 if value > row["found"]["adapted"]}  # fmt: skip
        if ahead and row["role"] == "domain":
            name = max(ahead, key=lambda one: ahead[one])
            yield _step(f"On {row['name']}, {_SYSTEMS.get(name, name)} alone reach "
                        f"{number(ahead[name])}, more than the adapted model "
                        f"({number(row['found']['adapted'])}): where you do that, use both "
                        "together, or measure whether you need the model.")  # fmt: skip


def _threshold(shift: Row) -> str:
    new = (shift.get("recommended") or {}).get("adapted", {}).get("threshold")
    if new is None:
        return "Find thresholds anew, and use none of the base's: cosines are on another scale now."
    old = (shift["recommended"].get("base") or {}).get("threshold")
    instead = "" if old is None else f"; with the base it was {number(old, 2)}"
    return (
        f"Change thresholds: a cosine of at least {number(new, 2)} now means the same to a "
        f"precision of {shift['target_precision']:g}{instead}. No old threshold carries over."
    )


def _inconclusive(evaluation: Mapping[str, Any], run_id: str) -> Iterator[Step]:  # noqa: ARG001
    yield _step("Keep what you use now until the question is settled.")
    aim = aim_of(evaluation)
    for row in evaluation["sets"]:
        carries = row is aim
        text = _unsettled_gain(row, evaluation) if carries else _unsettled_guard(row)
        if text:
            yield _step(text)


def _unsettled_gain(row: Row, evaluation: Mapping[str, Any]) -> str:
    found, things = row["found"], things_of(row)
    p = found["p"] if found["p_holm"] is None else found["p_holm"]
    if found["low"] > 0 and p < 1 - evaluation["confidence"]:
        return ""
    if found["difference"] <= 0:
        return (
            f"On {row['name']} the figure did not rise ({signed(found['difference'])}), so more "
            f"{things} would not make it a gain: train in another way, or with more labels."
        )
    wanted = needed(row, len(evaluation["sets"]), evaluation["confidence"])
    more = wanted - row["items"]
    if wanted > HOPELESS * row["items"]:
        return (
            f"A gain as small as the one seen on {row['name']} ({signed(found['difference'])}) "
            f"would take about {about(wanted)} {things} to prove: treat it as none."
        )
    return (
        f"If the true gain is what was seen ({signed(found['difference'])}), about {about(more)} "
        f"more {things} would prove it four times in five ({about(wanted)} in all; there are "
        f"{count(row['items'])})."
    )


def _unsettled_guard(row: Row) -> str:
    found, allowed = row["found"], row["allowed_loss"]
    if row["role"] == "general" or found["low"] > -allowed:
        return ""
    room = found["difference"] + allowed
    if room <= 0:
        return (
            f"On {row['name']} the loss seen ({signed(found['difference'])}) is beyond the "
            f"{allowed:g} allowed: more {things_of(row)} are not likely to clear it."
        )
    wanted = math.ceil(row["items"] * ((found["difference"] - found["low"]) / room) ** 2)
    return (
        f"On {row['name']} a loss of more than {allowed:g} is not ruled out: about "
        f"{about(max(wanted - row['items'], 1))} more {things_of(row)} would rule it out, if the "
        f"difference stays at {signed(found['difference'])}."
    )


def things_of(row: Row) -> str:
    """Return what a set is made of, in words."""
    if row["kind"] == "retrieval":
        return "queries"
    return "gold pairs" if row["name"] == "gold" else "pairs"


def needed(row: Row, sets: int, confidence: float) -> int:
    """Return how many items would tell the difference that was seen from zero, in [1, ∞).

    The minimum detectable effect is z(1 - a/2) + z(0.8) standard errors and falls with the root of
    the items, so it takes (effect / difference)^2 times as many. Holm's correction asks the least
    of ``sets`` p-values to be below a / sets, which makes the first of the quantiles larger.
    """
    tail, normal = (1.0 - confidence) / 2.0, NormalDist()
    first, corrected = (normal.inv_cdf(1.0 - part) for part in (tail, tail / sets))
    power = normal.inv_cdf(POWER)
    effect = row["found"]["minimum_detectable"] * (corrected + power) / (first + power)
    items: int = row["items"]
    ratio: float = effect / row["found"]["difference"]
    return max(items + 1, math.ceil(items * ratio**2))


def about(value: int) -> str:
    """Return a whole number, rounded up to two digits that count: 1,234 as "1,300"."""
    if value < 100:
        return str(value)
    unit = 10 ** (len(str(value)) - 2)
    return count(-(-value // unit) * unit)


def _regress(evaluation: Mapping[str, Any], run_id: str) -> Iterator[Step]:  # noqa: ARG001
    yield _step("Do not ship it: keep what you use now.")
    aim = aim_of(evaluation)
    fell = [row for row in evaluation["sets"] if _fell(row, aim)]
    where = "the parts by length and common words say where, the pairs that moved away how"
    names = " and ".join(row["name"] for row in fell) or "the sets"
    yield _step(f"Look at {names}, which fell: "
                f"{where if aim in fell else 'the kinds of pairs say where'}.")  # fmt: skip
    yield _step("Look at how well the annotators agree with gold: a model is not better than the "
                "labels it learns from.")  # fmt: skip
    if any(row["role"] == "general" for row in fell):
        yield _step("Where only general text fell, a weaker adapter may keep it: see the strengths "
                    "below.")  # fmt: skip
    yield _step("Try what else trains it: each setting is measured against the domain's own.",
                "angle-adapt ablate DOMAIN.yaml --vary objective,annotator,rank")  # fmt: skip


def _fell(row: Row, aim: Row | None) -> bool:
    return bool(row["found"]["high"] < (0 if row is aim else -row["allowed_loss"]))


def _more_labels(learning: Mapping[str, Any]) -> list[Step]:
    if learning:
        return [_step(str(learning["says"]))]
    return [_step("See what more labels would bring, and what they would cost.",
                  "angle-adapt learning-curve DOMAIN.yaml")]  # fmt: skip


def forgetting(sets: Sequence[Row]) -> list[dict[str, str]]:
    """Return for each general set whether it was kept, lost, or neither is shown, in words."""
    return [_kept(row) for row in sets if row["role"] == "general"]


def _kept(row: Row) -> dict[str, str]:
    found, allowed = row["found"], row["allowed_loss"]
    path = f"{number(found['base'])} → {number(found['adapted'])}"
    seen = f"On {row['name']} ({row['about']}) it went {path}"
    if found["high"] < -allowed:
        word, says = "lost", f"the model forgot: a loss of more than {allowed:g} is shown"
    elif found["low"] > -allowed:
        word, says = "kept", f"nothing of weight was forgotten: more than {allowed:g} is ruled out"
    else:
        loss = number(-found["low"])
        word, says = "open", f"no loss beyond {allowed:g} is shown, one of {loss} not ruled out"
    return {"name": row["name"], "word": word, "says": f"{seen}: {says}."}
