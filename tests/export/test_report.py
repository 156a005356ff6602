"""The report of a run: self-contained, complete, safe, and there even when a run failed."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from scipy import stats

from pipeline.artifacts import Store
from pipeline.evaluation import strength
from pipeline.evaluation.measure import MeasuredPair
from pipeline.export import gold_view, plot_style, rendering, report, report_data
from pipeline.runs import RunRecord
from pipeline.sections import CurateSettings
from pipeline.settings import Home
from tests.export.conftest import change

if TYPE_CHECKING:
    from tests.export.conftest import Artifacts

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "link", "br", "img", "hr", "input", "path", "use", "rect", "stop"}


class Page(HTMLParser):
    """Collects the tags, ids and visible text of a page, and checks that tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id" and value]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def write(artifacts: Artifacts, folder: Path, **changes: Any) -> tuple[str, dict[str, Any]]:
    run = artifacts.run.model_copy(update=changes)
    path = report.write(run, artifacts.references, artifacts.store, folder)
    assert path == folder / "report.html"
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return path.read_text(encoding="utf-8"), data


@pytest.fixture(scope="module")
def written_report(
    artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    return write(artifacts, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(written_report: tuple[str, dict[str, Any]]) -> Page:
    return Page(written_report[0])


def test_the_verdict_comes_first_in_words(page: Page) -> None:
    text = page.text
    headline = text.index("The adapted model is measurably better on this domain.")

    order = ("What to do next", "rose from 0.612 to 0.776", "In this report", "p, corrected")

    assert [headline, *map(text.index, order)] == sorted([headline, *map(text.index, order)])


@pytest.mark.parametrize(
    "telling",
    ["+0.093 to +0.233", "character TF-IDF", "BM25", "models/shipped", "average precision",
     "share of common words", "same function", "not settled", "Dev pairs chose 0.75",
     "Old thresholds do not carry over", "Recommended thresholds", "takes its place",
     "of the pairs are saturated under the base", "uniformity", "No chat model was paid",
     "6,412 documents under PSF-2.0", "1,127 texts of training were held against 2,598",
     "near duplicate −198", "gold text −7", "blend",
     "0.662 to 0.792", "Stopped early", "step 33", "Towards gold", "Away from gold",
     "Two from each fifth", "cached", "1 min 48 s", "train", "2.13.0", "learning rate",
     "domain, 420 pairs"],
)  # fmt: skip
def test_the_report_tells(page: Page, telling: str) -> None:
    assert telling in page.text


def test_parts_are_shown_by_length_source_and_strategy(
    written_report: tuple[str, dict[str, Any]], page: Page
) -> None:
    parts = {part["by"]: part for part in written_report[1]["parts"]}
    source, strategy = parts["source"], parts["mining strategy"]

    assert {"words in a pair", "share of common words", "source", "mining strategy"} == set(parts)
    for part in (source, strategy):
        for row in part["rows"]:
            assert row["difference"] == row["adapted"] - row["base"]
            assert row["low"] <= row["difference"] <= row["high"]
        changes = [row["difference"] for row in part["rows"]]
        assert changes == sorted(changes)
    assert sum(row["items"] for row in source["rows"]) + source["few"]["items"] == 200
    assert "an-owner/a_repository_with_a_long_name" in page.text
    assert {row["label"] for row in strategy["rows"]} == {"same document", "random"}
    assert strategy["few"] == {"parts": 1, "items": 12}
    assert "1 more, too small to score 12 –" in page.text
    assert "random 60 " in page.text
    assert "Not gold, and not in the verdict." in page.text
    assert "Queries of held-out text by where they come from" in page.text


def test_a_report_of_an_evaluation_without_strategies_has_none(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    change(artifacts, "evaluate", lambda one: one.pop("strategies"))
    text, data = write(artifacts, tmp_path)

    assert "mining strategy" not in {part["by"] for part in data["parts"]}
    assert "Not gold, and not in the verdict" not in Page(text).text


def test_the_report_shows_what_the_mined_pairs_cover(page: Page) -> None:
    told = page.text.rpartition("Mined pairs")[2]

    assert "443 of 496 comparisons" in told
    assert "by chance" in told
    assert "title body 12 0 –" in told


def test_a_report_of_pairs_whose_coverage_is_not_known_leaves_it_out(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    summary = artifacts.store.json(artifacts.references["mine"])
    del summary["coverage"]
    with artifacts.store.create("mine") as draft:
        draft.write_json(summary)
    artifacts.references["mine"] = draft.reference

    assert "Mined pairs" not in Page(write(artifacts, tmp_path)[0]).text


def test_the_report_of_two_rounds_says_what_the_second_gained(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    second = dict(artifacts.references)
    change(artifacts, "evaluate", lambda one: one["sets"][0]["found"].update(adapted=0.7))
    change(artifacts, "train", lambda one: one.update(pairs=731, best_dev=0.69))
    first = {f"{name} 1": artifacts.references[name] for name in ("evaluate", "train")}
    artifacts.references.update(second | first)
    text, data = write(artifacts, tmp_path)

    told = Page(text).text.rpartition("What the second round gained")[2]
    assert "trained with 731 pairs" in told
    assert "gold dev pairs 0.631 0.690 0.707 +0.017" in told
    assert "gold, 420 pairs 0.612 0.700 0.776 +0.076" in told
    assert len(data["rounds"]["measures"]) == 1 + len(data["evaluation"]["sets"])


def test_the_report_of_one_round_speaks_of_no_second(page: Page) -> None:
    assert "second round" not in page.text


def test_nothing_is_loaded_from_elsewhere(written_report: tuple[str, dict[str, Any]]) -> None:
    text, page = written_report[0], Page(written_report[0])
    namespaces = ("http://www.w3.org/",)
    settings = re.compile(r"<td\b.*?</td>", re.DOTALL)  # shown, never followed
    links = [link for link in re.findall(r"https?://[^\s\"'<>)]+", settings.sub("", text))
             if not link.startswith(namespaces)]  # fmt: skip

    assert links == []
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert not re.search(r"(?:src|@import|url\((?!#))\s*[=(]?\s*[\"']?(?!#)\w+:", text)


def test_a_text_is_data_and_never_markup(
    written_report: tuple[str, dict[str, Any]], page: Page
) -> None:
    attack = "<script>alert('here')</script>"

    assert attack not in written_report[0]
    assert html.escape(attack, quote=False).split("(")[0] in written_report[0]
    assert attack in page.text
    moved = written_report[1]["gold"]["towards"] + written_report[1]["gold"]["away"]
    assert any(attack in row["sentence1"] + row["sentence2"] for row in moved)


def test_of_a_long_text_that_moved_the_beginning_is_shown(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    store, reference = artifacts.store, artifacts.references["evaluate"]
    long = [
        pair.model_copy(update={"sentence1": f"{pair.sentence1}{' and so on' * 500}"})
        for pair in store.rows(reference, MeasuredPair)
    ]
    with store.create("evaluate") as draft:
        draft.write_json(store.json(reference))
        draft.write_rows(long, MeasuredPair)
    artifacts.references["evaluate"] = draft.reference
    text, data = write(artifacts, tmp_path)

    moved = data["gold"]["towards"] + data["gold"]["away"]
    assert moved
    assert all(row["sentence1"].endswith(" and so on" * 500) for row in moved)
    shown = re.findall(r"<blockquote>(.*?)</blockquote>", text, re.DOTALL)
    assert max(map(len, map(html.unescape, shown))) <= 401
    assert sum(one.endswith("…") for one in shown) == len(moved)


def test_names_in_plots_and_settings_are_escaped_too(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    summary = artifacts.store.json(artifacts.references["curate"])
    summary["agreement"] = {"<b>$x$": {"spearman": 0.5, "low": 0.4, "high": 0.6, "pairs": 9}}
    with artifacts.store.create("curate") as draft:
        draft.write_json(summary)
    artifacts.references["curate"] = draft.reference
    text, _ = write(artifacts, tmp_path, error="</section><script>1</script>",
                    config={"domain": "d", "collect": {"path": "<img src=x>"}})  # fmt: skip

    assert not {"script", "img", "b$x$"} & set(Page(text).tags)
    assert "<b>$x$" not in text
    assert "<b>$x$" in Page(text).text


def test_the_plots_are_all_there_with_their_names(page: Page) -> None:
    assert page.tags.count("svg") == 13
    assert len(page.ids) == len(set(page.ids))


def test_the_page_holds_what_the_json_holds(written_report: tuple[str, dict[str, Any]]) -> None:
    page, data = Page(written_report[0]), written_report[1]

    assert data["verdict"]["word"] == "ship"
    assert [row["stage"] for row in data["stages"]] == list(
        ["collect", "clean", "mine", "label", "curate", "train", "evaluate"]
    )
    for row in data["gold"]["towards"] + data["gold"]["away"]:
        assert " ".join(row["sentence1"].split()) in page.text
    for row in data["examples"]:
        assert row["sentence2"] in page.text
    for step in data["funnel"]:
        for reason, count in step["dropped"].items():
            assert f"{reason.replace('_', ' ')} −{count:,}" in page.text
    assert data["funnel"][0]["dropped"] == {"not_text": 1_207, "no_text": 41}


def test_the_labels_are_shown_with_what_they_are_worth(page: Page) -> None:
    text = page.text

    assert "Spearman's ρ interval κ error before error after pairs" in text
    assert "likelihood 0.646 0.576 to 0.706 0.55 0.243 0.161 220" in text
    assert "blend 0.732 0.662 to 0.792 0.63 – 0.172 220" in text
    assert "char tfidf, frozen encoder 0.550 0.510 to 0.590 0.52 0.47 to 0.57" in text
    assert "0.574 by interval (0.551 to 0.596), 0.569 by order (0.546 to 0.591)." in text
    assert "57 pairs whose scores lie more than 0.4 apart" in text


def test_the_labels_come_after_the_annotators_whatever_they_are_called(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    summary = artifacts.store.json(artifacts.references["curate"])
    summary["combine"] = "gold_weighted"
    summary["agreement"]["gold_weighted"] = summary["agreement"].pop("blend")
    with artifacts.store.create("curate") as draft:
        draft.write_json(summary)
    artifacts.references["curate"] = draft.reference
    text, data = write(artifacts, tmp_path)

    assert list(data["labels"]["agreement"])[-1] == "gold_weighted"
    assert data["labels"]["agreement"]["gold_weighted"]["mae_after"] == 0.172
    assert "weighted by how well it orders the gold dev pairs, on the scale of" in Page(text).text


def test_a_summary_of_before_calibration_has_a_report(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    summary = artifacts.store.json(artifacts.references["curate"])
    for name in ("combine", "krippendorff", "calibration", "disagreements"):
        del summary[name]
    for row in (*summary["agreement"].values(), *summary["between"]):
        for name in ("kappa", "kappa_low", "kappa_high"):
            del row[name]
    with artifacts.store.create("curate") as draft:
        draft.write_json(summary)
    artifacts.references["curate"] = draft.reference
    page = Page(write(artifacts, tmp_path)[0])

    assert "blend 0.732 0.662 to 0.792 – – – 220" in page.text
    assert page.tags.count("svg") == 12


@pytest.mark.parametrize("method", ["rank", "isotonic"])
@pytest.mark.parametrize("way", get_args(CurateSettings.model_fields["combine"].annotation))
def test_every_way_from_opinions_to_labels_has_words(way: str, method: str) -> None:
    found = rendering.how_labelled({"combine": way, "calibration": {"method": method}})

    assert found.startswith("Each annotator's scores are ")
    assert found.endswith(".")
    assert ("scale of gold." in found) == (method == "isotonic" and way != "blend")


def test_what_went_in_is_what_came_out_and_what_was_dropped(
    written_report: tuple[str, dict[str, Any]],
) -> None:
    for step in written_report[1]["funnel"]:
        assert step["in"] == step["out"] + sum(step["dropped"].values()), step["stage"]


def test_two_labelled_pairs_from_each_fifth_are_shown(
    written_report: tuple[str, dict[str, Any]],
) -> None:
    scores = [row["score"] for row in written_report[1]["examples"]]

    assert scores == sorted(scores, reverse=True)
    assert [min(int(score * 5), 4) for score in scores] == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_pairs_moved_towards_gold_are_those_whose_position_came_nearest(
    written_report: tuple[str, dict[str, Any]],
) -> None:
    gold = written_report[1]["gold"]

    def gains(rows: list[dict[str, Any]]) -> list[float]:
        return [abs(r["base"] - r["gold"]) - abs(r["adapted"] - r["gold"]) for r in rows]

    assert len(gold["towards"]) == len(gold["away"]) == 8
    assert gains(gold["towards"]) == sorted(gains(gold["towards"]), reverse=True)
    assert gains(gold["away"]) == sorted(gains(gold["away"]))
    assert min(gains(gold["towards"])) > 0 > max(gains(gold["away"]))


def test_a_position_is_the_mean_rank_among_all() -> None:
    values = np.random.default_rng(0).integers(0, 5, 40).astype(float)

    assert gold_view.position(values) == pytest.approx((stats.rankdata(values) - 1) / 39)
    assert gold_view.position(np.array([3.0])).tolist() == [0.5]
    assert gold_view.position(np.array([2.0, 2.0])).tolist() == [0.5, 0.5]


def test_few_gold_scores_are_shown_each_and_many_in_fifths() -> None:
    def levels(scores: list[float]) -> list[str]:
        pairs = [{"gold": s, "base": s, "adapted": -s, "sentence1": "", "sentence2": "",
                  "category": ""} for s in scores]  # fmt: skip
        return [level["level"] for level in gold_view.view(pairs)["levels"]]

    assert levels([0.0, 0.2, 0.4, 0.4, 1.0]) == ["0", "0.2", "0.4", "1"]
    assert levels([n / 20 for n in range(21)]) == [
        "0.0–0.2", "0.2–0.4", "0.4–0.6", "0.6–0.8", "0.8–1.0"
    ]  # fmt: skip


def test_a_run_without_gold_has_a_report(artifacts_without_gold: Artifacts, tmp_path: Path) -> None:
    text, data = write(artifacts_without_gold, tmp_path)
    page = Page(text)

    assert data["verdict"]["word"] == "inconclusive"
    assert data["gold"] == {"levels": [], "towards": [], "away": [], "right": {}}
    assert "There is no gold set, so agreement with gold was not measured." in page.text
    assert "Pairs that moved most" not in page.text
    assert "nDCG@10" in page.text


@pytest.mark.parametrize("reached", range(8))
def test_a_run_that_failed_anywhere_has_a_report(
    artifacts: Artifacts, tmp_path: Path, reached: int
) -> None:
    names = list(artifacts.references)[:reached]
    references = {name: artifacts.references[name] for name in names}
    run = artifacts.run.model_copy(update={
        "status": "failed", "verdict": "", "error": "no space left on the disk",
        "stages": artifacts.run.stages[:reached],
    })  # fmt: skip
    text = report.write(run, references, artifacts.store, tmp_path).read_text(encoding="utf-8")

    assert "no space left on the disk" in Page(text).text
    if "evaluate" not in names:
        assert "The run failed before there was a verdict." in Page(text).text


def test_an_artefact_that_is_gone_is_left_out(
    written: Callable[..., Artifacts], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts = written()
    store = artifacts.store
    shutil.rmtree(store.path(artifacts.references["curate"]))
    (store.path(artifacts.references["label"]) / "summary.json").write_text("{half")
    (store.path(artifacts.references["evaluate"]) / "rows.parquet").unlink()
    text, data = write(artifacts, tmp_path)

    assert data["labels"]["histogram"] == []
    assert data["labels"]["annotators"] == {}
    assert data["gold"]["towards"] == []
    assert "measurably better" in Page(text).text
    assert caplog.text.count("left out of the report") == 4


def test_a_run_with_nothing_to_tell_has_a_report(tmp_path: Path) -> None:
    run = RunRecord(id="here-1", domain="here", started="2026-11-22T08:14:00+00:00")
    path = report.write(run, {}, Store(Home(tmp_path / "home")), tmp_path)

    assert "The run has not come to a verdict yet." in Page(path.read_text(encoding="utf-8")).text


def test_numbers_that_json_cannot_hold_become_nothing(
    artifacts: Artifacts,
) -> None:
    run = artifacts.run.model_copy(update={"config": {"train": {"learning_rate": float("inf")}}})
    data = report_data.gather(run, {}, artifacts.store)

    assert data["settings"]["train"]["learning_rate"] is None


def test_the_same_run_gives_the_same_bytes(
    artifacts: Artifacts, tmp_path: Path, written_report: tuple[str, dict[str, Any]]
) -> None:
    assert write(artifacts, tmp_path)[0] == written_report[0]


def test_a_placeholder_colour_never_reaches_the_page(
    written_report: tuple[str, dict[str, Any]],
) -> None:
    text = written_report[0]

    assert not [placeholder for placeholder in plot_style.COLOURS if placeholder in text]
    used = set(re.findall(r"var\(--([a-z-]+)\)", text))
    assert used <= set(re.findall(r"--([a-z-]+):", text))


def test_matplotlib_and_torch_wait_until_they_are_needed() -> None:
    code = """
import sys
import pipeline.evaluation.stage, pipeline.export.report, pipeline.export.stage
print(sorted({"torch", "transformers", "matplotlib", "sklearn", "prefect"} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )

    assert shown.stdout.strip() == "[]"


def test_where_no_dev_pair_ranks_the_strengths_the_rule_says_so(
    written: Callable[..., Artifacts], tmp_path: Path
) -> None:
    artifacts = written()
    change(artifacts, "evaluate", lambda found: found["strength"].update(domain_pairs=0))
    text = Page(write(artifacts, tmp_path)[0]).text

    assert "No dev pairs of the domain rank the others; of them the one nearest 1 is taken." in text
    assert "on 0 dev pairs" not in text


def test_the_page_states_the_rule_of_strengths_with_its_own_numbers(
    written_report: tuple[str, dict[str, Any]],
) -> None:
    page, data = written_report
    found = data["evaluation"]["strength"]

    assert found["errors"] == strength.ERRORS
    rule = f"by no more than {found['tolerance']:g} or {strength.ERRORS:g} standard errors"
    assert rule in " ".join(page.split())
