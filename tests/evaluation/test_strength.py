"""The strength of an adapter: the rule against its words, the sweep against loading every copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from scipy.stats import spearmanr
from transformers import AutoModel, AutoTokenizer

from pipeline.encoder import cosine
from pipeline.encoder.spec import FORMAT_VERSION, MODEL_FILE, EncoderSpec
from pipeline.encoder.strength import scaled_copy
from pipeline.encoder.transformer import load_model
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.strength import Options, Point, Sweep, choose, front, sweep
from pipeline.settings import Home

Floats = NDArray[np.float64]
STRENGTHS = (0.0, 0.5, 1.0, 1.25)


class Scored(NamedTuple):
    """A dev pair."""

    sentence1: str
    sentence2: str
    score: float


def ranked(swaps: int, pairs: int = 400) -> Floats:
    """Return cosines that follow gold scores 0, 1, 2 …, but for so many pairs a quarter away.

    Each of them costs 0.0019 of ρ.
    """
    found = np.arange(pairs, dtype=float)
    left = np.arange(swaps)
    found[left], found[left + 100] = found[left + 100].copy(), found[left].copy()
    return found


def chosen(domain: Mapping[float, int] | None, general: Mapping[float, int] | None = None) -> Sweep:
    """Return the choice where a strength spoils so many pairs; more spoilt, lower ρ."""
    both = {"domain": domain, "general": general}
    swaps = {name: found for name, found in both.items() if found is not None}
    cosines = {s: {name: ranked(found[s]) for name, found in swaps.items()} for s in STRENGTHS}
    gold = {name: np.arange(400.0) for name in swaps}
    sets: dict[str, list[Scored]] = {"domain": [], "general": []}
    return choose(gold, cosines, sets, Options(bootstrap=Bootstrap(200, 0.95, 1)))


def by(swaps: tuple[int, ...]) -> dict[float, int]:
    return dict(zip(STRENGTHS, swaps, strict=True))


def test_a_strength_that_is_clearly_better_is_chosen() -> None:
    found = chosen(by((60, 5, 30, 50)))
    assert found.chosen == 0.5
    gain = found.points[1].domain or 0
    assert f"is {gain - (found.points[2].domain or 0):.3f} higher than at 1" in found.reason
    assert found.front == (0.5,)


def test_noise_moves_nothing() -> None:
    """One pair of 400 ranked otherwise is below the tolerance."""
    found = chosen(by((60, 9, 10, 9)))
    assert found.chosen == 1.0
    assert [point.as_good for point in found.points] == [False, True, True, True]
    assert "no other is clearly better" in found.reason


def test_a_difference_within_two_standard_errors_moves_nothing_and_a_larger_one_does() -> None:
    """Dev sets of 60 pairs, drawn anew: the gain at 0.5 is there or it is not."""
    generator = np.random.default_rng(2)
    counted = {}
    for gain in (0.0, 1.5):
        kept = 0
        for _ in range(60):
            gold = generator.normal(size=60)
            shared = gold + generator.normal(scale=0.8, size=60)
            cosines = {
                s: {"domain": shared + generator.normal(scale=0.3 + (0 if s == 0.5 else gain),
                                                        size=60)}
                for s in STRENGTHS
            }  # fmt: skip
            sets: dict[str, list[Scored]] = {"domain": [], "general": []}
            options = Options(bootstrap=Bootstrap(200, 0.95, 1))
            kept += choose({"domain": gold}, cosines, sets, options).chosen == 1.0
        counted[gain] = kept / 60
    assert counted[0.0] > 0.85
    assert counted[1.5] < 0.2


def test_a_strength_that_forgets_too_much_is_not_chosen_however_good() -> None:
    found = chosen(by((60, 20, 5, 0)), by((1, 2, 40, 60)))
    assert found.chosen == 0.5
    assert [point.allowed for point in found.points] == [True, True, False, False]
    assert "general dev pairs lose" in found.reason
    assert found.front == STRENGTHS


def test_of_two_as_near_the_weaker_is_chosen() -> None:
    cosines = {s: {"domain": ranked(60 if s in (0.0, 1.0) else 5)} for s in (0.0, 0.75, 1.0, 1.25)}
    gold, sets = {"domain": np.arange(400.0)}, {"domain": [], "general": []}  # type: ignore[var-annotated]
    assert choose(gold, cosines, sets, Options()).chosen == 0.75


def test_without_domain_pairs_the_allowed_strength_nearest_one_is_chosen() -> None:
    assert chosen(None, by((1, 2, 40, 0))).chosen == 1.25
    assert chosen(None, by((1, 2, 2, 2))).chosen == 1.0


def test_constant_cosines_have_no_rho_and_are_not_chosen() -> None:
    cosines = {s: {"domain": ranked(5) if s == 0.0 else np.zeros(400)} for s in STRENGTHS}
    gold, sets = {"domain": np.arange(400.0)}, {"domain": [], "general": []}  # type: ignore[var-annotated]
    found = choose(gold, cosines, sets, Options())
    assert found.chosen == 0.0
    assert [point.domain for point in found.points][1:] == [0.0, 0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_front_holds_whatever_no_other_point_dominates(values: list[tuple[int, int]]) -> None:
    points = [
        Point(strength=i, domain=a / 5, general=b / 5, allowed=True, as_good=True, noise=0.0)
        for i, (a, b) in enumerate(values)
    ]
    slow = [
        i
        for i, (a, b) in enumerate(values)
        if not any((c >= a and d > b) or (c > a and d >= b) for c, d in values)
    ]
    assert list(front(points)) == slow


def pairs(count: int, first: int) -> list[Scored]:
    words = ("file", "socket", "list", "number", "bytes", "size")
    every = [(a, b, c) for a in words for b in words for c in words]
    return [
        Scored(f"Open the {a} of {b}", f"Sort every {c} and {b}", (i * 7 % 11) / 11)
        for i, (a, b, c) in enumerate(every[first : first + count])
    ]


@pytest.fixture
def model(tiny_backbone: Path, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules=r"layers\.3\..*\.(q_proj|up_proj|down_proj)")
    adapted = get_peft_model(AutoModel.from_pretrained(tiny_backbone), lora)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.copy_(torch.randn_like(parameter))
    folder = tmp_path / "model"
    adapted.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(folder)
    spec = EncoderSpec(
        backbone=str(tiny_backbone), template="{text}", pooling="last", max_length=20
    )
    described = {
        "format_version": FORMAT_VERSION, "encoder": spec.model_dump(), "backbone_identity": "x",
        "first_layer": 3, "train": {},
    }  # fmt: skip
    (folder / MODEL_FILE).write_text(json.dumps(described), encoding="utf-8")
    return folder


def test_the_sweep_scores_what_loading_a_copy_of_every_strength_scores(
    model: Path, tmp_path: Path
) -> None:
    home, dev, general = Home(tmp_path / "home"), pairs(40, 0), pairs(35, 50)
    found = sweep(model, home, dev, general, Options(strengths=(0.5, 1.25)))

    assert [point.strength for point in found.points] == [0.0, 0.5, 1.0, 1.25]
    assert (found.domain_pairs, found.general_pairs) == (40, 35)
    for point in found.points:
        copy = tmp_path / f"copy-{point.strength}"
        scaled_copy(model, point.strength, copy)
        encoder = load_model(copy, home)
        for scored, rho in ((dev, point.domain), (general, point.general)):
            one = encoder.encode([pair.sentence1 for pair in scored])
            two = encoder.encode([pair.sentence2 for pair in scored])
            wanted = spearmanr(cosine(one, two), [pair.score for pair in scored]).statistic
            assert rho == pytest.approx(wanted, abs=0.02)  # in bfloat16 a pair or two may swap
    assert len({point.domain for point in found.points}) == 4
    assert Sweep.model_validate_json(found.model_dump_json()) == found


def test_with_too_few_dev_pairs_the_model_stays_as_trained_and_none_is_loaded(
    tmp_path: Path,
) -> None:
    found = sweep(tmp_path / "none", Home(tmp_path), pairs(29, 0), pairs(29, 0))
    assert found.chosen == 1.0
    assert found.points[0].domain is None
    assert "fewer than 30 dev pairs" in found.reason
    assert sweep(tmp_path, Home(tmp_path), pairs(40, 0), (), Options(strengths=())).chosen == 1.0
