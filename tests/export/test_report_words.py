"""What a report says in words: the verdict, what to do next, and what figures mean."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.evaluation.shift import Options, map_score, score_shift
from pipeline.evaluation.significance import compare_means
from pipeline.export import advice, gold_view, label_view, rendering, report, score_view
from tests.export.conftest import change
from tests.export.evaluations import SETTINGS

if TYPE_CHECKING:
    from tests.export.conftest import Artifacts


def row(name: str = "gold", **fields: Any) -> dict[str, Any]:
    """Return a set whose gain of 0.02 is not told from zero."""
    found = {"base": 0.6, "adapted": 0.62, "difference": 0.02, "low": -0.01, "high": 0.05, "p": 0.2,
             "p_holm": 0.2, "minimum_detectable": 0.04}  # fmt: skip
    found |= {key: fields.pop(key) for key in list(fields) if key in found}
    plain = {"name": name, "role": "domain", "kind": "graded", "measure": "spearman", "items": 200,
             "about": "200 pairs", "allowed_loss": 0.02, "further": {}, "found": found}  # fmt: skip
    return plain | fields


def told(word: str, *sets: dict[str, Any], learning: dict[str, Any] | None = None) -> str:
    evaluation = {"sets": list(sets), "confidence": 0.95}
    return " ".join(
        step["text"] for step in advice.steps(word, evaluation, "run-1", learning or {})
    )


def test_four_times_the_pairs_prove_half_the_detectable_difference() -> None:
    assert advice.needed(row(), 1, 0.95) == 800
    text = told("inconclusive", row())

    assert "about 600 more gold pairs would prove it four times in five" in text
    assert "(800 in all; there are 200)" in text


def test_several_sets_ask_for_more_pairs_as_the_correction_does() -> None:
    wanted = 800 * ((norm.isf(0.025 / 4) + norm.isf(0.2)) / (norm.isf(0.025) + norm.isf(0.2))) ** 2

    assert advice.needed(row(), 4, 0.95) == math.ceil(wanted)


def test_as_many_pairs_as_are_advised_prove_the_gain_four_times_in_five() -> None:
    generator = np.random.default_rng(5)

    def seen(items: int) -> Any:
        base = generator.normal(size=items)
        return compare_means(base, base + generator.normal(0.1, 1.0, items), SETTINGS_BOOTSTRAP)

    first = seen(150)
    found = first.model_copy(update={"difference": 0.1}).model_dump()
    wanted = advice.needed(row(items=150) | {"found": found}, 1, 0.95)
    proven = [seen(wanted).low > 0 for _ in range(60)]

    assert 0.62 < np.mean(proven) < 0.95


SETTINGS_BOOTSTRAP = Options().bootstrap._replace(resamples=SETTINGS.resamples)


def test_a_figure_that_fell_asks_for_another_training_not_for_more_pairs() -> None:
    text = told("inconclusive", row(difference=-0.01, low=-0.04, high=0.01))

    assert "more gold pairs would not make it a gain" in text
    assert "would prove it" not in text


def test_a_gain_too_small_to_prove_is_called_none() -> None:
    assert "treat it as none" in told("inconclusive", row(difference=0.001))


def test_a_guard_that_is_not_settled_says_how_many_more_would_settle_it() -> None:
    guard = row("held-out text", kind="retrieval", difference=0.0, low=-0.04, high=0.04)
    text = told("inconclusive", row(low=0.01, p=0.001, p_holm=0.002), guard)

    assert "about 600 more queries would rule it out" in text
    assert "gold pairs" not in text


def test_to_ship_says_how_to_use_it_and_what_it_may_cost_elsewhere() -> None:
    general = row("general", role="general", low=-0.06)
    text = told("ship", row(low=0.01), general)

    assert "Encode stored texts again" in text
    assert "a loss of up to 0.060 is not ruled out" in text
    assert "thresholds anew" in text


def test_it_is_said_where_no_model_is_needed() -> None:
    search = row("held-out text", kind="retrieval", references={"bm25": 0.7, "char_tfidf": 0.65})

    assert "words in common (BM25) alone reach 0.700, more than the adapted" in told("ship", search)
    search["references"] = {"bm25": 0.61}
    assert "BM25" not in told("ship", search)


def test_to_regress_names_what_fell() -> None:
    general = row("general", role="general", high=-0.03)
    text = told("regress", row(), general)

    assert "Look at general, which fell: the kinds of pairs say where." in text
    assert "a weaker adapter may keep it" in text
    assert "Do not ship it" in text


def test_a_loss_beside_the_aim_has_another_headline_than_one_of_the_aim() -> None:
    general = row("general", role="general", low=-0.06, high=-0.03)

    assert advice.headline("regress", {"sets": [row(), general]}) == advice.LOST_BESIDE
    fell = row(low=-0.06, high=-0.01)
    assert advice.headline("regress", {"sets": [fell]}) == advice.HEADLINES["regress"]
    assert "parts by length" in told("regress", fell)


def test_more_labels_are_advised_by_the_learning_curve_where_there_is_one() -> None:
    assert "More labels help" in told("inconclusive", row(), learning={"says": "More labels help."})
    steps = advice.steps("inconclusive", {"sets": [row()], "confidence": 0.95}, "run-1", {})
    assert steps[-1]["command"] == "angle-adapt learning-curve DOMAIN.yaml"


@pytest.mark.parametrize(
    ("low", "high", "word"), [(-0.06, -0.03, "lost"), (-0.01, 0.03, "kept"), (-0.06, 0.03, "open")]
)
def test_general_text_is_kept_lost_or_not_settled(low: float, high: float, word: str) -> None:
    (found,) = advice.forgetting([row("general", role="general", low=low, high=high), row()])

    assert found["word"] == word
    assert found["says"].startswith("On general (200 pairs) it went 0.600 → 0.620: ")


@pytest.mark.parametrize("word", ["ship", "inconclusive", "regress", "failed", "interrupted"])
def test_every_word_has_a_headline(word: str) -> None:
    assert advice.HEADLINES[word].endswith(".")


def test_a_run_that_ended_early_is_told_how_to_go_on() -> None:
    assert advice.steps("failed", {}, "run-1", {}) == [{"text": advice.ENDED, "command": ""}]
    assert advice.means("failed", {}, {}) == ""


@pytest.mark.parametrize(("value", "shown"), [(7, "7"), (99, "99"), (123, "130"), (4_100, "4,100"),
                                              (4_101, "4,200"), (999, "1,000")])  # fmt: skip
def test_numbers_of_pairs_are_rounded_up(value: int, shown: str) -> None:
    assert advice.about(value) == shown


def test_pairs_in_the_right_order_are_counted_one_by_one() -> None:
    generator = np.random.default_rng(2)
    gold, found = generator.integers(0, 4, 40) / 3, generator.integers(0, 9, 40) / 8
    right, all_pairs = 0.0, 0
    for one in range(40):
        for two in range(40):
            if gold[one] > gold[two]:
                all_pairs += 1
                right += 1.0 if found[one] > found[two] else 0.5 if found[one] == found[two] else 0
    assert gold_view.in_order(gold, found) == pytest.approx(right / all_pairs)
    assert gold_view.in_order(np.zeros(3), np.arange(3.0)) is None
    many = np.arange(5_000.0)
    assert gold_view.in_order(many, -many) == 0.0


def changes(base: Any, adapted: Any, threshold: float | None = None) -> dict[str, Any]:
    found = score_shift(base, adapted, None, Options(threshold=threshold))
    return {"set": "gold", "shift": found.model_dump()}


def test_the_table_of_scores_is_round_and_from_the_map() -> None:
    generator = np.random.default_rng(1)
    base = generator.uniform(0.7, 0.95, 300)
    shifted = changes(base, base**4)
    pairs = [{"base": value, "adapted": value**4} for value in base]
    found = score_view.scores(shifted, pairs)

    assert 4 <= len(found["rows"]) <= 11
    for one in found["rows"]:
        assert one["old"] == round(one["old"], 2)
        assert one["new"] == pytest.approx(
            map_score(score_shift(base, base**4).table, one["old"]), abs=1e-9
        )
        assert one["above"] == (base >= one["old"]).mean()
    assert found["warning"].startswith("Old thresholds do not carry over: 25\u00a0%")
    assert score_view.scores({}, []) == {}


def test_a_precision_that_no_threshold_keeps_is_told_in_words() -> None:
    generator = np.random.default_rng(4)
    gold, cosines = generator.random(200), generator.uniform(0.1, 0.9, (2, 200))
    shift = score_shift(cosines[0], cosines[1], gold).model_dump()
    text = score_view.scores({"set": "gold", "shift": shift}, [])["unreachable"]
    best = shift["recommended"]["adapted"]["best_precision"]

    assert text.startswith("No threshold keeps a precision of 0.9 on these pairs: ")
    assert f"{best:.2f} (adapted) is the best" in text


def test_scores_that_did_not_move_are_not_warned_of() -> None:
    base = np.random.default_rng(1).uniform(-0.2, 0.9, 400)

    assert score_view.scores(changes(base, base, 0.5), [])["warning"].startswith("Scores hardly")


def test_shares_from_bins_are_near_those_of_the_pairs() -> None:
    values = np.random.default_rng(1).normal(0.4, 0.1, 2_000)
    counts, edges = np.histogram(values, 40)
    for score in (0.2, 0.4, 0.55):
        exact = (values >= score).mean()
        found = score_view.above(edges.tolist(), counts.tolist(), score)
        assert found == pytest.approx(exact, abs=0.02)


def test_gradient_norms_are_told_in_one_sentence() -> None:
    norms = [{"step": 1, "cosine": 0.1, "in_batch": 0.5, "angle": 0.2},
             {"step": 9, "cosine": 0.1, "in_batch": 0.5, "angle": 1.5}]  # fmt: skip

    assert score_view.pulled(norms) == (
        "At step 1 the angle term pulled 2.00 times as hard as the cosine term, at step 9 15 times"
        ": the angle did most of the work, as where cosines are saturated."
    )
    assert score_view.pulled([]) == score_view.pulled([{"step": 1, "in_batch": 0.4}]) == ""


def test_costs_are_summed_where_all_prices_are_known() -> None:
    judge: dict[str, Any] = {
        "asked": 90,
        "reused": 10,
        "usd": 0.5,
        "prompt_tokens": 9_000,
        "seconds": 3.0,
    }
    label = {"annotators": {"judge": judge, "likelihood": {"asked": 100, "reused": 0}},
             "generated": {"asked": 5, "usd": 0.25, "prompt_tokens": 700}}  # fmt: skip
    found = label_view.cost({"label": label})

    assert found["usd"] == 0.75
    assert [one["name"] for one in found["rows"]] == ["judge", "likelihood", "writing variants"]
    judge.update(usd=None)
    assert label_view.cost({"label": label})["usd"] is None
    assert not label_view.cost({})["billed"]


@pytest.mark.parametrize(
    ("shown", "text"),
    [(rendering.percent(0.0), "0\u00a0%"), (rendering.percent(0.051), "5.1\u00a0%"),
     (rendering.percent(0.0996), "10\u00a0%"), (rendering.percent(None), "–"),
     (rendering.chance(0.0004), "< 0.001"), (rendering.chance(0.03), "0.030"),
     (rendering.chance(None), "–"), (rendering.size(0), "0 B"), (rendering.size(999), "999 B"),
     (rendering.size(12_345_678), "12.3 MB"), (rendering.size(None), "–"),
     (rendering.size(7 * 10**12), "7000.0 GB"), (rendering.dollars(None), "–"),
     (rendering.dollars(0), "$0.00"), (rendering.dollars(0.00314), "$0.0031"),
     (rendering.dollars(12.345), "$12.35")],
)  # fmt: skip
def test_figures_are_shown_in_few_letters(shown: str, text: str) -> None:
    assert shown == text


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [*value.values(), *value]
    if isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


def shapes(value: Any) -> set[str]:
    """Return the ways in which a report may show a value."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return set(re.findall(r"[\d.,]+", str(value)))
    found = {rendering.number(value, digits) for digits in range(4)}
    found |= {rendering.signed(value, digits) for digits in range(4)}
    found |= {rendering.percent(value, digits) for digits in (None, 0)}
    found |= {rendering.size(int(value)), rendering.dollars(value), rendering.duration(value)}
    found |= {f"{value:g}", rendering.count(round(value)), rendering.signed(100 * value, 1)}
    found.add(rendering.chance(value))
    return found | {part for text in found for part in text.split()}


def test_every_figure_of_a_table_is_in_the_json_those_of_a_learning_curve_too(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()

    def paid(summary: dict[str, Any]) -> None:
        summary["annotators"]["likelihood"] |= {
            "usd": 0.1234, "prompt_tokens": 123_456, "completion_tokens": 7_890, "tried_again": 2,
        }  # fmt: skip

    change(artifacts, "label", paid)
    (tmp_path / report.LEARNING).write_text(json.dumps(LEARNING))
    path = report.write(artifacts.run, artifacts.references, artifacts.store, tmp_path)
    text = path.read_text(encoding="utf-8")
    data = json.loads((tmp_path / report.JSON).read_text(encoding="utf-8"))
    known = set().union(*(shapes(leaf) for leaf in leaves(data)))
    cells = re.findall(r'<td class="n[^>]*>(.*?)</td>', text, re.DOTALL)
    plain = [re.sub(r"<[^>]+>|BM25", " ", cell).replace("\u00a0%", "\u00a0% ") for cell in cells]
    figures = [part for cell in plain for part in cell.split(" ") if re.search(r"\d", part)]

    assert len(figures) > 250
    assert [one for one in figures if one.strip() not in known] == []
    assert "$0.1234" in figures
    assert "123,456" in figures
    assert "+0.031" in figures  # what more labels would bring
    assert "What more labels would bring" in text
    assert LEARNING["says"] in text
    assert 'aria-label="Learning curve"' in text


def point(share: float, rho: float) -> dict[str, Any]:
    return {"share": share, "pairs": round(1_462 * share), "rho": rho, "by_seed": [rho],
            "interval": [rho - 0.03, rho + 0.03]}  # fmt: skip


LEARNING: dict[str, Any] = {
    "says": "More labels help: +0.031 (+0.004 to +0.058) for twice the pairs.",
    "dev": {"points": [point(0.25, 0.64), point(0.5, 0.67), point(1.0, 0.7)]},
    "test": {"points": [point(0.25, 0.63), point(0.5, 0.66), point(1.0, 0.68)]},
    "offers": [{"brings": {"labels": 1_500, "pairs": 1_462, "gain": 0.031, "within": 0.027,
                           "far": False}, "usd": 1.25, "seconds": 612.0}],
}  # fmt: skip
