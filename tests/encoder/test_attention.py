"""Decoders whose tokens see later tokens: in all layers, or in the last ones only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.encoder.attention import is_causal, open_layers
from pipeline.encoder.batches import pad
from pipeline.encoder.layers import SplitEncoder
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError

ROWS = [list(range(5, 25)), [7, 3, 9], [12], list(range(40, 70))]
Make = Callable[..., PreTrainedModel]
Wrap = Callable[..., TransformerEncoder]
IMPLEMENTATIONS = ["eager", "sdpa"]


@torch.no_grad()
def pooled(encoder: TransformerEncoder, rows: list[list[int]]) -> Tensor:
    """Encode rows of ids in one batch, however much padding that takes."""
    return encoder.embed(pad(rows, list(range(len(rows))), encoder.pad_id))


def by_hand(model: PreTrainedModel, row: list[int], first: int) -> Tensor:
    """Run the layers of a LLaMA in a plain loop, attention from its definition."""
    config, count = model.config, len(row)
    hidden = model.embed_tokens(torch.tensor([row]))
    cos, sin = model.rotary_emb(hidden, torch.arange(count)[None])

    def turned(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x * cos[:, None] + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin[:, None]

    for index, layer in enumerate(model.layers):
        attention, normed = layer.self_attn, layer.input_layernorm(hidden)
        shape = (1, count, -1, config.head_dim)
        query, key, value = (
            projection(normed).view(shape).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        repeats = config.num_attention_heads // config.num_key_value_heads
        key, value = turned(key).repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        scores = turned(query) @ key.transpose(2, 3) / config.head_dim**0.5
        if index < first:
            scores = scores + torch.full((count, count), float("-inf")).triu(1)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(1, count, -1)
        hidden = hidden + attention.o_proj(mixed)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.norm(hidden)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("first", [1, 3])
def test_opened_layers_attend_as_a_plain_loop_does(
    implementation: str, first: int, make_model: Make, make_encoder: Wrap
) -> None:
    model = make_model("llama", implementation)
    open_layers(model, first)
    encoder = make_encoder(model, attention="bidirectional", bidirectional_from=first)
    found = pooled(encoder, ROWS)
    wanted = torch.stack([by_hand(model, row, first).mean(dim=0) for row in ROWS])
    assert (wanted - found).abs().max() < 1e-5
    causal = torch.stack([by_hand(model, row, 4).mean(dim=0) for row in ROWS])
    assert (causal - found).abs().max() > 1e-2


def test_the_plain_loop_is_right_about_causal_attention(make_model: Make) -> None:
    model = make_model("llama")
    for row in ROWS:
        states = model(input_ids=torch.tensor([row])).last_hidden_state[0]
        assert (states - by_hand(model, row, 4)).abs().max() < 1e-5


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("first", [0, 3])
def test_a_bidirectional_decoder_is_blind_to_padding_and_sees_the_last_token(
    decoder: str, implementation: str, first: int, make_model: Make, make_encoder: Wrap
) -> None:
    if implementation == "sdpa" and decoder == "gemma2":
        pytest.skip("its attention cannot be fused")
    model = make_model(decoder, implementation)
    assert is_causal(model)
    if first:
        open_layers(model, first)
    else:
        model.config.is_causal = False
    assert not is_causal(model)
    encoder = make_encoder(model, pooling="cls")
    together = pooled(encoder, ROWS)
    alone = torch.cat([pooled(encoder, [row]) for row in ROWS])
    assert (together - alone).abs().max() < 1e-5
    for size in (1, 3):  # the first token of a text knows its second one
        one, other = (pooled(encoder, [[12, last]] * size) for last in (50, 60))
        assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_opened_layers_can_be_trained_in_a_split_model(
    implementation: str, *, checkpointing: bool, make_model: Make, make_encoder: Wrap
) -> None:
    model = make_model("llama", implementation).train()
    open_layers(model, 3)
    encoder = make_encoder(model)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    split = SplitEncoder(encoder, model, 2)
    hidden = split.lower(ROWS, "")
    trained = list(model.layers[2:].parameters())
    found = split.upper(hidden)
    other = split.upper([state.flip(0) for state in hidden[:2]])  # masks of another shape between
    got = torch.autograd.grad(found.square().sum() + 0 * other.sum(), trained)
    wanted_vectors = torch.stack([by_hand(model, row, 3).mean(dim=0) for row in ROWS])
    wanted = torch.autograd.grad(wanted_vectors.square().sum(), trained)
    assert all(torch.allclose(one, two, atol=1e-3) for one, two in zip(got, wanted, strict=True))


def test_windows_stay_where_layers_have_them(make_model: Make, make_encoder: Wrap) -> None:
    """Mistral's tokens see eight neighbours on each side in an opened layer, and none further."""
    model = make_model("mistral", num_hidden_layers=2)
    open_layers(model, 1)
    encoder = make_encoder(model, pooling="cls")
    row = list(range(5, 35))
    near, far = (list(row), list(row))
    near[7], far[29] = 300, 300
    first, changed, same = pooled(encoder, [row, near, far])
    assert (first - changed).abs().max() > 1e-3
    assert (first - same).abs().max() < 1e-6


def test_models_that_see_both_ways_are_not_opened(make_model: Make) -> None:
    for kind in ("bert", "roberta", "modernbert"):
        assert not is_causal(make_model(kind))
        with pytest.raises(InputError, match="is no decoder of so many layers"):
            open_layers(make_model(kind), 3)
    with pytest.raises(InputError, match="bidirectional_from is 4"):
        open_layers(make_model("llama"), 4)
