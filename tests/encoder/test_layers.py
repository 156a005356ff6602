"""A model cut in two gives what the whole gives, whatever its architecture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoder.layers import SplitEncoder, layer_path, linear_names
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError

ROWS = [list(range(5, 25)), [7, 3, 9], [12], list(range(40, 70)), [7, 3, 11]]
Make = Callable[..., PreTrainedModel]
Wrap = Callable[..., TransformerEncoder]


def one_by_one(encoder: TransformerEncoder, rows: list[list[int]] = ROWS) -> Tensor:
    """Pool each row alone: no padding, no mask, no split."""
    states = [encoder.model(input_ids=torch.tensor([row])).last_hidden_state for row in rows]
    return torch.cat([encoder.pool(s, torch.tensor([s.shape[1]])) for s in states])


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("first", [0, 2, 3])
def test_a_split_model_gives_the_vectors_and_gradients_of_the_whole(
    architecture: str, implementation: str, first: int, make_model: Make, make_encoder: Wrap
) -> None:
    if implementation == "sdpa" and architecture in ("gemma2", "mpnet"):
        pytest.skip("its attention cannot be fused")
    encoder = make_encoder(make_model(architecture, implementation))
    before = {name: id(module) for name, module in encoder.model.named_modules()}
    split = SplitEncoder(encoder, encoder.model, first)
    whole = one_by_one(encoder)
    found = split.upper(split.lower(ROWS, ""))
    assert (whole - found).detach().abs().max() < 1e-5 * max(1.0, float(whole.detach().abs().max()))

    layers = encoder.model.get_submodule(layer_path(encoder.model))
    trained = [p for layer in layers[first:] for p in layer.parameters()]  # type: ignore[index]
    weight = torch.linspace(-1, 1, whole.numel()).reshape(whole.shape)
    wanted = torch.autograd.grad((whole * weight).sum(), trained)
    got = torch.autograd.grad((found * weight).sum(), trained)
    for one, other in zip(wanted, got, strict=True):
        assert (one - other).abs().max() < 1e-4 * max(1.0, float(one.abs().max()))
    assert before == {name: id(module) for name, module in encoder.model.named_modules()}


def test_states_after_every_depth_are_those_of_a_model_cut_there(
    architecture: str, make_model: Make, make_encoder: Wrap
) -> None:
    encoder = make_encoder(make_model(architecture))
    split = SplitEncoder(encoder, encoder.model, 1)
    hidden = split.lower(ROWS, "")
    depths = (3, 2, 4)
    found = split.upper_at(hidden, depths)
    for depth, vectors in zip(depths, found, strict=True):
        # Taken from the hidden states of the plain model, its own norm applied by hand.
        states = [
            encoder.model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states
            for row in ROWS
        ]
        norm = getattr(encoder.model, "norm", getattr(encoder.model, "final_norm", None))
        plain = norm if norm is not None and depth < 4 else torch.nn.Identity()
        wanted = torch.cat(
            [encoder.pool(plain(s[depth]), torch.tensor([s[depth].shape[1]])) for s in states]
        )
        assert (wanted - vectors).abs().max() < 1e-4, depth


def test_the_layers_run_once_for_all_depths(make_model: Make, make_encoder: Wrap) -> None:
    encoder = make_encoder(make_model("llama"))
    calls: list[int] = []
    for index, layer in enumerate(encoder.model.layers):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))
    split = SplitEncoder(encoder, encoder.model, 1)
    hidden = split.lower(ROWS[:2], "")
    calls.clear()
    split.upper_at(hidden, (2, 3, 4))
    assert calls == [1, 2, 3]
    calls.clear()
    split.upper_at(hidden, (2,))
    assert calls == [1]


def test_only_layers_above_the_cut_can_be_asked_for(make_model: Make, make_encoder: Wrap) -> None:
    encoder = make_encoder(make_model("llama"))
    split = SplitEncoder(encoder, encoder.model, 2)
    hidden = split.lower(ROWS, "")
    for depths in ((2,), (5,), (0, 4)):
        with pytest.raises(InputError, match=r"not within 3\.\.4"):
            split.upper_at(hidden, depths)
    with pytest.raises(InputError, match="4 layers, and no 4"):
        SplitEncoder(encoder, encoder.model, 4)


def test_the_lower_layers_run_without_dropout(make_model: Make, make_encoder: Wrap) -> None:
    encoder = make_encoder(make_model("bert"))
    encoder.model.train()
    split = SplitEncoder(encoder, encoder.model, 3)
    once, again = split.lower(ROWS, ""), split.lower(ROWS, "")
    assert all((one == two).all() for one, two in zip(once, again, strict=True))
    assert encoder.model.training
    with torch.no_grad():
        assert (split.upper(once) != split.upper(once)).any()


@pytest.mark.parametrize("first", [0, 2])
def test_tokens_that_all_texts_begin_with_run_once_and_change_no_vector(
    decoder: str, first: int, make_model: Make, make_encoder: Wrap
) -> None:
    """Longer than the windows of attention that some of the models have."""
    encoder = make_encoder(make_model(decoder), pooling="last")
    rows = [[*range(50, 62), *range(5 + i, 9 + 2 * i % 13 + i)] for i in range(40)]
    with torch.no_grad():
        start = encoder.start(rows)
    assert start.length == 12
    split = SplitEncoder(encoder, encoder.model, first)
    whole = one_by_one(encoder, rows).detach()
    hidden = split.lower([row[12:] for row in rows], "", start)
    assert [len(states) for states in hidden] == [len(row) - 12 for row in rows]
    wanted = torch.nn.functional.normalize(whole, dim=-1)
    for _ in "ab":  # nothing is left in the start by those who ran after it
        found = torch.from_numpy(split.vectors(hidden, "", start))
        assert (found - wanted).abs().max() < 1e-5


def test_gradient_checkpointing_gives_the_same_gradient(
    decoder: str, make_model: Make, make_encoder: Wrap
) -> None:
    found = []
    for checkpointing in (False, True):
        encoder = make_encoder(make_model(decoder))
        encoder.model.train()
        if checkpointing:
            encoder.model.activation_checkpointing_enable({"use_reentrant": False})
        split = SplitEncoder(encoder, encoder.model, 2)
        split.upper(split.lower(ROWS, "")).square().sum().backward()
        found.append([p.grad for p in encoder.model.layers[2:].parameters()])
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(*found, strict=True))


def test_layers_and_their_linear_modules_are_found(make_model: Make, architecture: str) -> None:
    model = make_model(architecture)
    path = layer_path(model)
    encoders = {"bert": "encoder.layer", "roberta": "encoder.layer", "mpnet": "encoder.layer"}
    assert path == encoders.get(architecture, "layers")
    names = linear_names(model)
    expected = {
        "bert": ("dense", "key", "query", "value"),
        "roberta": ("dense", "key", "query", "value"),
        "mpnet": ("dense", "k", "o", "q", "v"),
        "modernbert": ("Wi", "Wo", "Wqkv"),
    }
    usual = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert names == expected.get(architecture, usual)


def test_a_model_without_layers_is_refused() -> None:
    class Flat(torch.nn.Module):
        config = type("Config", (), {"get_text_config": lambda self: self})()

    with pytest.raises(InputError, match="Flat has no list of layers"):
        layer_path(Flat())  # type: ignore[arg-type]
