"""Ablations and learning curves over the small stages, against a real Prefect server."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import ablation, cli_ablate, learning_curve, reporting, trial_plan
from pipeline import graph, runs
from pipeline.artifacts import Store
from pipeline.errors import ConfigError, InputError
from pipeline.trials import factors
from tests.flows import test_ablation_page as example

VARY = ("epochs=1,3,2000", "rank=8,16")
SHOWN = (Path(__file__).parents[2] / "docs" / "ablation.md").read_text(encoding="utf-8")


def shown(start: str, domain: str, *more: str) -> list[str]:
    """Return the arguments of the command in docs/ablation.md that begins with ``start``."""
    (line,) = [line for line in SHOWN.splitlines() if line.startswith(f"angle-adapt {start}")]
    found = [domain if word == "my-domain.yaml" else word for word in shlex.split(line)[1:]]
    assert domain in found
    return [*found, *more]


@pytest.fixture
def domain(workplace: Any, tmp_path: Path) -> str:
    rows = [f"one {i},other {i},{i % 6},{'dev' if i % 2 else 'test'}" for i in range(80)]
    (tmp_path / "gold.csv").write_text("\n".join(["sentence1,sentence2,score,split", *rows]))
    with workplace.domain.open("a") as stream:
        stream.write(
            f"mine: {{pairs: 12}}\ntrain: {{epochs: 1}}\n"
            f"evaluate: {{gold: {tmp_path / 'gold.csv'}, general: '', resamples: 200}}\n"
        )
    return str(workplace.domain)


@pytest.fixture
def tiny(
    api: str, workplace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The small stages in this process, in a Prefect home of their own."""
    settings = importlib.import_module("prefect.settings")
    small = importlib.import_module("tiny")
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(workplace.home.root))
    monkeypatch.setenv("TINY_LOG", str(workplace.log))
    monkeypatch.setattr(graph, "STAGES", small.STAGES)
    monkeypatch.setitem(graph.FURTHER, "score", small.FURTHER["score"])
    home = {settings.PREFECT_HOME: tmp_path / "a", settings.PREFECT_API_URL: api}
    quick = {settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with settings.temporary_settings(home | quick):
        yield


Ablate = Callable[..., ablation.Ablation]


@pytest.fixture
def ablate(tiny: None, domain: str) -> Ablate:  # noqa: ARG001 - the stages it runs
    def run(*vary: str, **more: Any) -> ablation.Ablation:
        return ablation.run(ablation.prepare(ablation.Asked(domain, (), vary, **more)))

    return run


def by_name(found: ablation.Ablation) -> dict[str, Any]:
    return {row.trial.name: row for row in found.rows}


def test_an_ablation_trains_what_differs_and_again_only_what_came_to_nothing(
    ablate: Ablate, workplace: Any, seen: Any, tmp_path: Path
) -> None:
    found = ablate(*VARY, seeds=2)
    assert list(by_name(found)) == ["own setting", "epochs=3", "epochs=2000", "rank=8"]
    ran = workplace.ran()
    assert [ran.count(stage) for stage in ("collect", "mine", "train")] == [1, 1, 8]
    assert ran.count("score") == 4  # the small model knows no rank: equal models, equal scores
    best = by_name(found)["epochs=3"]
    assert best.dev.difference > 0
    assert best.dev.seeds is not None
    assert (found.chosen, found.told) == ("epochs=3", True)
    assert (best.pairs, len(best.models)) == (12, 2)

    assert by_name(found)["rank=8"].dev.difference == 0

    assert by_name(found)["epochs=2000"].failed == "2000 epochs are too many for one number"
    assert best.dev.p_holm <= 2 * best.dev.p  # of two rows: one that failed counts for nothing
    assert "failed: 2000 epochs" in ablation.as_text(found)
    assert "failed: 2000 epochs" in (ablation.write(found, tmp_path) / "ablation.html").read_text()

    flow_run, states = seen.named("epochs=3, seed 14")
    assert states == ["Completed"] * 2  # its own training and scores; the rest was shown before
    assert flow_run.parent_task_run_id
    again = ablate(*VARY, seeds=2)
    assert workplace.ran() == ["train", "train"]  # those that came to nothing
    assert [row.dev for row in again.rows] == [row.dev for row in found.rows]
    whole, _ = seen.named(again.name)
    assert whole.flow_id != flow_run.flow_id
    assert runs.list_runs() == []  # trials are not runs of the domain, nor "latest" models


def test_a_domain_whose_own_setting_fails_stops_the_ablation(ablate: Ablate, domain: str) -> None:
    Path(domain).write_text(Path(domain).read_text().replace("epochs: 1", "epochs: 2000"))
    with pytest.raises(InputError, match="too many for one number"):
        ablate("rank=8")


@pytest.mark.usefixtures("tiny")
def test_a_learning_curve_ends_at_the_model_of_a_run_and_lies_beside_it(
    adapt: Callable[..., Any], domain: str, workplace: Any, tmp_path: Path
) -> None:
    run, store = runs.load(adapt().result()), Store(workplace.home)
    workplace.ran()
    told = Path(reporting.write(run, reporting.reached(run, store), store).report)
    assert "What more labels would bring" not in told.read_text(encoding="utf-8")
    command = shown("learning-curve", domain, "-o", str(tmp_path), "--more", "6,60")
    ended = workplace.command(*command)
    assert ended.code == 0, ended.err
    assert sorted(set(workplace.ran())) == ["score", "train"]
    beside = (runs.folder(run.id) / "learning_curve.json").read_text()
    assert beside == (tmp_path / "learning_curve.json").read_text()
    model = next(row.digest for row in run.stages if row.stage == "train")
    assert reporting.curve_of(model) == json.loads(beside)
    found = learning_curve.Curve.model_validate_json(beside)
    assert [point.pairs for point in found.dev.points] == [3, 6, 12]
    assert [offer.brings.far for offer in found.offers] == [False, True]
    assert [offer.usd for offer in found.offers] == [0, 0]
    assert re.search(r"6 more labels ≈ [+−]0\.\d{3} ± 0\.\d{3} ρ on dev \(\$0\.00", ended.out)
    assert "Extrapolated far" in ended.out
    assert f"report    {told}" in ended.out
    assert "What more labels would bring" in told.read_text(encoding="utf-8")


@pytest.mark.usefixtures("tiny")
def test_a_report_that_could_say_less_is_left_as_it_is(
    adapt: Callable[..., Any], workplace: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run, store = runs.load(adapt().result()), Store(workplace.home)
    told = Path(reporting.write(run, reporting.reached(run, store), store).report)
    before = told.read_bytes()
    model = next(row for row in run.stages if row.stage == "train")
    next(workplace.home.store.glob("index/mine-*.json")).unlink()

    assert reporting.add_curve(model.digest, "{}") == []
    assert "its report stays as it is" in caplog.text
    assert told.read_bytes() == before


def test_looking_for_a_curve_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(tmp_path / "home"))

    assert reporting.curve_of("0" * 64) is None
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [(4, "corrected for 3 rows (Holm);"), (2, "with one row beside the own setting and so")],
)
def test_the_page_says_over_how_many_rows_a_p_is_corrected(
    tmp_path: Path, rows: int, said: str
) -> None:
    some = example.found()
    some = some.model_copy(update={"rows": some.rows[:rows], "told": False})
    page = (ablation.write(some, tmp_path) / "ablation.html").read_text(encoding="utf-8")

    assert f"p is that of both, {said}" in page


@pytest.mark.usefixtures("tiny")
def test_a_price_per_label_comes_from_the_chat_annotators(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [{"id": str(i), "text": f"Opens file number {i}.", "name": str(i), "source": "test"}
             for i in range(5)]  # fmt: skip
    made = [importlib.import_module("pipeline.records").Document(**values) for values in texts]
    monkeypatch.setattr(trial_plan, "_documents", lambda *_: made)
    chat = ("label.annotators=[judge]", "chat.judge.model=m", "chat.judge.price_input=1",
            "chat.judge.price_output=2")  # fmt: skip
    asked = learning_curve.Asked(domain, chat, (0.5, 1.0))
    prepared = learning_curve.prepare(asked)
    curve = learning_curve.curve
    fit = curve.Fit(points=(curve.Point(share=1, pairs=10, rho=0.5, interval=(0, 1), by_seed=()),),
                    at=0.5, gain=0.01, interval=(0, 0.02), rising=False, misfit=None,
                    seeds=1)  # fmt: skip
    one, ten = (
        learning_curve._offer(prepared, curve.more(fit, n, 1.0)).usd or 0 for n in (100, 1_000)
    )
    assert one > 0
    assert ten == pytest.approx(10 * one)
    unknown = learning_curve.prepare(
        asked._replace(
            settings=(*chat, "chat.judge.price_input=null", "chat.judge.base_url=https://x.y")
        )
    )
    offer = learning_curve._offer(unknown, curve.more(fit, 100, 1.0))
    assert "price not known" in learning_curve.offered(offer)


def test_the_plan_counts_what_is_left_and_hours_want_a_yes(
    ablate: Ablate, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ablation.Asked(domain, (), VARY, seeds=2)
    plan = ablation.prepare(asked).plan
    assert plan.stages == {"mine": 1, "train": 8, "score": 8}
    assert "trained 8 times in all" in trial_plan.described(plan, 4)
    assert trial_plan.consent(plan) == ""
    ablate("epochs=3")
    left = ablation.prepare(asked).plan
    assert left.stages == {"train": 6, "score": 6}
    assert left.seconds < plan.seconds
    monkeypatch.setattr(trial_plan, "LONG_SECONDS", 0.0)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    with pytest.raises(ConfigError, match="add --yes"):
        cli_ablate._agreed(left, 4, yes=False, only=False)
    assert cli_ablate._agreed(left, 4, yes=True, only=False)
    assert not cli_ablate._agreed(left, 4, yes=True, only=True)


def test_an_interrupted_ablation_goes_on_where_it_was_and_writes_its_tables(
    ablate: Ablate, workplace: Any, domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_STOP", "score")
    with pytest.raises(KeyboardInterrupt):
        ablate("epochs=2", seeds=2)
    assert workplace.ran() == ["collect", "mine", "train", "score"]
    monkeypatch.delenv("TINY_STOP")
    out = tmp_path / "out"
    first = [
        str(out) if word == "ablation" else word
        for word in shown("ablate my-domain.yaml --vary epochs", domain)
    ]
    again = workplace.command(*first)
    assert again.code == 0, again.err
    assert workplace.ran()[:3] == ["score", "train", "score"]
    assert "Choose by the dev columns alone" in again.out
    assert "to do        train 7x, score 8x" in again.err
    found = json.loads((out / "ablation.json").read_text())
    with (out / "ablation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["trial"] for row in rows] == ["own setting", "epochs=0.5", "epochs=2", "rank=8"]
    assert float(rows[1]["dev_difference"]) == found["rows"][1]["dev"]["difference"]
    assert "<h2>epochs</h2>" in (out / "ablation.html").read_text()


@pytest.mark.usefixtures("tiny")
def test_nothing_to_vary_or_to_learn_from_is_refused(domain: str) -> None:
    for vary, said in (("rnak", "did you mean 'rank'"), ("rank=16", "no value but")):
        with pytest.raises(ConfigError, match=re.escape(said)):
            ablation.prepare(ablation.Asked(domain, (), [vary]))
    with pytest.raises(ConfigError, match="give two or more"):
        learning_curve.numbers("0.5")
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        learning_curve.numbers("0.5,2")
    with pytest.raises(ConfigError, match="whole numbers above 0"):
        learning_curve.counts("500,many")
    with pytest.raises(InputError, match="has no gold set"):
        learning_curve.prepare(
            learning_curve.Asked(domain, ("evaluate.gold=''",), (0.5, 1.0))
        )  # fmt: skip


def test_what_a_trial_names_outside_is_looked_at_before_anything_is_trained(
    workplace: Any, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(workplace.home.root))
    for vary in ("label.prompt=nothing.v1", "encoder.backbone=nowhere"):
        with pytest.raises(ConfigError, match=re.escape(f"trial {vary}: ")):
            ablation.prepare(ablation.Asked(domain, (), [vary]))


def test_a_value_that_the_settings_refuse_is_one_line_before_anything_starts(
    workplace: Any, domain: str
) -> None:
    plan = workplace.command(*shown("ablate my-domain.yaml --vary train.warmup", domain))
    assert plan.code == 0, plan.err
    assert "trials       6, trained 6 times in all" in plan.out
    ran = workplace.command("ablate", domain, "--vary", "rank=0", PREFECT_API_URL="")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "trial rank=0: " in ran.err
    assert not workplace.home.prefect.exists()


def test_every_known_name_is_in_the_documentation_and_in_the_help() -> None:
    explained = " ".join((cli_ablate.ablate.__doc__ or "").split())
    for name in factors.FACTORS:
        assert re.search(rf"^\|.*`{name}`.*\|", SHOWN, flags=re.MULTILINE), name
        assert re.search(rf"\b{name}\b", explained), name
