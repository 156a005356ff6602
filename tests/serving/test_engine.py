"""Vectors of the engine are those of encode, whatever the model and whoever asks beside."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
from transformers import PreTrainedModel

from pipeline.encoder import Vectors, cosine
from pipeline.encoder.known import ONE_WORD
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.serving.engine import PROBES, Engine, Full, Observed
from pipeline.serving.limits import Limits
from tests.encoder.conftest import SIZE, make_encoder, tiny_model
from tests.serving.conftest import Blocked

__all__ = ["make_encoder"]

PATIENCE = 30


def vectors(engine: Engine, requests: list[list[str]]) -> list[Vectors]:
    """Return the vectors of requests that all wait together."""
    jobs = []
    for texts in requests:
        ended = threading.Event()
        jobs.append((engine.submit(texts, ended.set), ended))
    assert all(ended.wait(PATIENCE) for _, ended in jobs)
    assert not any(job.failed for job, _ in jobs)
    return [job.vectors for job, _ in jobs]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("llama", {"template": ONE_WORD, "pooling": "last"}),
        ("llama", {"template": "{text}", "pooling": "last"}),
        ("llama", {"template": "{text}", "pooling": "mean", "dimensions": 7}),
        ("gemma3_text", {"template": 'Say "{text}"', "pooling": "last"}),
        ("bert", {"template": "{text}", "pooling": "cls"}),
    ],
)
def test_vectors_are_those_of_encode(
    make_encoder: Callable[..., TransformerEncoder], kind: str, fields: dict[str, object]
) -> None:
    model: PreTrainedModel = tiny_model(kind)
    encoder = make_encoder(model, max_length=30, **fields)
    draw = random.Random(7)
    words = ["return", "the size of", '"file"', "open", "'", "and read", "bytes", " ", "\n", "sort"]
    requests = [
        list({" ".join(draw.choices(words, k=draw.randint(0, 60))) for _ in range(size)})
        for size in (1, 1, 2, 150, 3, 40)
    ]
    seen: list[Observed] = []
    with closing(Engine(encoder, Limits(), seen.append)) as engine:
        found = vectors(engine, requests)
    for texts, own in zip(requests, found, strict=True):
        assert cosine(own, encoder.encode(texts, label="")).min() >= 0.99999
    assert sum(batch.texts for batch in seen) == sum(map(len, requests))
    read = sum(map(len, encoder.token_ids([text for texts in requests for text in texts])))
    assert sum(batch.tokens for batch in seen) == read
    assert SIZE["hidden_size"] in (encoder.dimensions, 32)


def test_what_the_template_leaves_is_run_once(encoder: TransformerEncoder) -> None:
    with closing(Engine(encoder, Limits())) as engine:
        assert len(engine._shared) > 3
        assert all(
            ids[: len(engine._shared)] == engine._shared for ids in encoder.token_ids(PROBES)
        )


def test_a_full_queue_refuses_and_a_forgotten_job_makes_room(blocked: Blocked) -> None:
    limits = Limits(max_texts=4, max_queue=4)
    with closing(Engine(blocked, limits)) as engine:
        for number in range(engine.lanes):
            engine.submit([f"first {number}"], lambda: None)
            assert blocked.entered.acquire(timeout=PATIENCE)
        called = threading.Event()
        waiting = engine.submit(["a", "b", "c"], called.set)
        with pytest.raises(Full):
            engine.submit(["d", "e"], lambda: None)
        engine.forget(waiting)
        assert engine.waiting == 0
        last = threading.Event()
        job = engine.submit(["d", "e"], last.set)
        blocked.let.set()
        assert last.wait(PATIENCE)
        assert np.isfinite(job.vectors).all()
        assert not called.is_set()


def test_a_tokenizer_that_fails_fails_one_request(
    blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = blocked.token_ids

    def token_ids(texts: list[str]) -> list[list[int]]:
        if "bad" in texts:
            raise ValueError(texts)
        return real(texts)

    monkeypatch.setattr(blocked, "token_ids", token_ids)
    blocked.let.set()
    with closing(Engine(blocked, Limits())) as engine:
        ends = [threading.Event() for _ in range(2)]
        bad, good = (
            engine.submit([text], end.set) for text, end in zip(["bad", "good"], ends, strict=True)
        )
        assert all(end.wait(PATIENCE) for end in ends)
        assert (bad.failed, good.failed, engine.waiting) == (True, False, 0)


def test_batches_end_at_the_given_number_of_tokens(encoder: TransformerEncoder) -> None:
    seen: list[Observed] = []
    with closing(Engine(encoder, Limits(max_batch=100), seen.append)) as engine:
        vectors(engine, [[f"text number {number}" for number in range(60)]])
    assert max(batch.tokens for batch in seen) <= 100 + len(engine._shared) * max(
        batch.texts for batch in seen
    )
    assert len(seen) > 5
