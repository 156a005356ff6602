"""From what is asked for to the trials: known names, settings, combinations, and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import DomainConfig, overridden, parse
from pipeline.errors import ConfigError
from pipeline.training.presets import objective
from pipeline.trials import factors, grid
from pipeline.trials.grid import OWN, trials, wanted


@pytest.fixture
def base(tiny_backbone: Path) -> dict[str, Any]:
    return {"domain": "x", "encoder": {"backbone": str(tiny_backbone)}}


def maker(base: dict[str, Any]) -> grid.Make:
    def make(overrides: Sequence[str]) -> DomainConfig:
        values = {name: dict(part) if isinstance(part, dict) else part
                  for name, part in base.items()}  # fmt: skip
        return parse(overridden(values, overrides))

    return make


def names(base: dict[str, Any], *vary: str, full: bool = False) -> list[str]:
    make = maker(base)
    return [trial.name for trial in trials(make(()), wanted(vary), make, full=full)]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["rank,pooling"], {"rank": None, "pooling": None}),
        (["rank=4,8"], {"rank": [4, 8]}),
        (["objective,train.lora_rank=4,8,16"], {"objective": None, "train.lora_rank": [4, 8, 16]}),
        (["rank=4,8,pooling=last,mean,sampler"],
         {"rank": [4, 8], "pooling": ["last", "mean"], "sampler": None}),
        (["train.learning_rate=1e-4,2e-4"], {"train.learning_rate": [1e-4, 2e-4]}),
        (["rank", "epochs = 1, 2"], {"rank": None, "epochs": [1, 2]}),
        (["curate.weights=[{a: 1, b: 0}, {a: 0, b: 1}]"],
         {"curate.weights": [{"a": 1, "b": 0}, {"a": 0, "b": 1}]}),
        (["template=['One, {text}', none]"], {"template": ["One, {text}", "none"]}),
        (["encoder.layers=null,2"], {"encoder.layers": [None, 2]}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_read_as_it_is_written(given: list[str], read: dict[str, Any]) -> None:
    assert wanted(given) == read


def test_values_take_the_place_of_the_usual_ones_of_what_is_varied() -> None:
    assert wanted(["rank,pooling"], ["rank=2,4"]) == {"rank": [2, 4], "pooling": None}
    with pytest.raises(ConfigError, match="with NAME among --vary"):
        wanted(["pooling"], ["rank=2,4"])
    with pytest.raises(ConfigError, match="--vary names nothing"):
        wanted([" "])
    with pytest.raises(ConfigError, match="rank: a value is empty"):
        wanted(["rank="])


def test_one_factor_varies_at_a_time_and_the_own_setting_comes_once_and_first(
    base: dict[str, Any],
) -> None:
    assert names(base, "rank,pooling,train.warmup=0,0.1") == [
        OWN, "rank=4", "rank=8", "rank=32", "pooling=mean", "pooling=weighted_mean",
        "train.warmup=0",
    ]  # fmt: skip


def test_every_combination_is_made_once(base: dict[str, Any]) -> None:
    found = names(base, "rank=8,16,pooling=last,mean", full=True)
    assert found == [OWN, "rank=8, pooling=last", "rank=8, pooling=mean", "rank=16, pooling=mean"]


def test_equal_settings_under_two_names_are_one_trial(base: dict[str, Any]) -> None:
    assert names(base, "rank=8,train.lora_rank=[8]", "train.lora_alpha=32,16") == [
        OWN, "rank=8", "train.lora_rank=8", "train.lora_alpha=16",
    ]  # fmt: skip
    assert names(base, "epochs=3", "train.epochs=3") == [OWN, "epochs=3"]


@pytest.mark.parametrize("preset", ["default", "angle_emb-0.6", "llama-nli"])
def test_an_objective_trains_its_terms_and_no_other(base: dict[str, Any], preset: str) -> None:
    make = maker(base | {"train": {"preset": preset}})
    found = {t.level: t for t in trials(make(()), wanted(["objective"]), make)[1:]}
    for word in factors.OBJECTIVES:
        if word not in found:  # the preset's own
            continue
        weights = objective(make(found[word].overrides).train).weights
        kept = {name.replace("_", "-") for name, weight in weights.items() if weight > 0}
        expected = set(factors.WEIGHTS) if word == "all" else set(word.split("+"))
        assert kept == expected
    assert len(found) == len(factors.OBJECTIVES) - 1


def test_a_rank_keeps_the_scale_of_the_adapter(base: dict[str, Any]) -> None:
    make = maker(base | {"train": {"lora_rank": 8, "lora_alpha": 12}})
    for trial in trials(make(()), wanted(["rank=2,4,16"]), make)[1:]:
        train = make(trial.overrides).train
        assert train.lora_alpha / train.lora_rank == 1.5


def test_an_annotator_alone_has_all_the_say_and_nobody_is_asked_anew(
    base: dict[str, Any],
) -> None:
    base |= {"label": {"annotators": ["likelihood", "char_tfidf", "human"]},
             "curate": {"weights": {"likelihood": 2}}}  # fmt: skip
    make = maker(base)
    found = trials(make(()), wanted(["annotator"]), make)
    assert [trial.level for trial in found[1:]] == ["likelihood", "char_tfidf"]
    config = make(found[2].overrides)
    assert config.label == make(()).label
    assert config.curate.weights == {"likelihood": 0, "human": 0}


def test_poolings_are_those_of_the_kind_of_backbone(base: dict[str, Any]) -> None:
    base["encoder"] |= {"pooling": "cls"}
    assert names(base, "pooling") == [OWN, "pooling=mean", "pooling=cls_mean"]


def test_prompts_are_those_of_the_likelihood_annotator(base: dict[str, Any]) -> None:
    assert names(base, "prompt") == [OWN, "prompt=likelihood-paraphrase.v1"]
    with pytest.raises(ConfigError, match=r"not among label\.annotators"):
        names(base | {"label": {"annotators": ["char_tfidf"]}}, "prompt")


@pytest.mark.parametrize("name", sorted(factors.FACTORS))
def test_every_known_name_has_values_that_the_settings_take(
    base: dict[str, Any], name: str
) -> None:
    assert len(names(base, name)) > 1


REFUSED = {
    "rnak": "did you mean 'rank'",
    "lora_rank": "did you mean 'train.lora_rank'",
    "zzz=1,2": "there are objective, ",
    "train.lora_rnk=1": "did you mean 'train.lora_rank'",
    "train.lora_rank": "has no usual values",
    "evaluate.resamples=100": "measured by",
    "domain=x,y": "measured by",
    "train.seed=1,2": "varied by --seeds",
    "rank=0": "trial rank=0: ",
    "rank=many": "trial rank=many: ",
    "train.epochs=1,-1": "trial train.epochs=-1: ",
    "template=[no text]": "trial template=no text: encoder.template",
    "objective=cosin": "objective=cosin: there is no such objective; did you mean 'cosine'",
    "annotator=gpt": "annotator=gpt: there is no such annotator",
    "rank=16": "nothing to vary: rank has no value but",
    "pooling=lst": "trial pooling=lst: ",
}


@pytest.mark.parametrize("vary", REFUSED)
def test_what_cannot_be_varied_is_one_message_that_names_it(
    base: dict[str, Any], vary: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        names(base, vary)
    assert REFUSED[vary] in str(raised.value)
    assert "\n" not in str(raised.value)
