"""The command in its own process, asked by the clients that people use."""

from __future__ import annotations

import asyncio
import base64
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest

from pipeline.encoder import cosine
from pipeline.encoder.transformer import TransformerEncoder
from tests.serving.conftest import KEY, VARIABLE, Command, ask, metric

TEXTS = [
    "Open a socket and read bytes.", "Sort the list of numbers.", "", "naïve 中文 🙂 \x00 text",
    "Open a socket and read bytes.", "Return the size of a file. " * 40,
]  # fmt: skip
WORDS = ["return", "the", "size", "of", "a", "file", "open", "socket", "and", "read", "bytes"]


def client(server: Command, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, **options)


def lowest(
    found: Sequence[Sequence[float]], encoder: TransformerEncoder, texts: list[str]
) -> float:
    return float(cosine(np.array(found, dtype=np.float32), encoder.encode(texts, label="")).min())


@pytest.mark.parametrize(
    "options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}]
)
def test_openais_client_gets_the_vectors_of_encode(
    server: Command, encoder: TransformerEncoder, options: dict[str, Any]
) -> None:
    with client(server) as openais:
        answer = openais.embeddings.create(model="tiny-model", input=TEXTS, user="me", **options)
    assert [one.index for one in answer.data] == list(range(len(TEXTS)))
    found = [one.embedding for one in answer.data]
    if options.get("encoding_format") == "base64":  # asked for, it is handed on as it came
        found = [np.frombuffer(base64.b64decode(str(one)), "<f4").tolist() for one in found]
    assert lowest(found, encoder, TEXTS) >= 0.9999
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    read = sum(map(len, encoder.token_ids(TEXTS)))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == read


def test_openais_asynchronous_client_does_too(server: Command, encoder: TransformerEncoder) -> None:
    async def create() -> Any:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as openais:
            return await openais.embeddings.create(model="tiny-model", input=TEXTS[0])

    answer = asyncio.run(create())
    assert lowest([answer.data[0].embedding], encoder, TEXTS[:1]) >= 0.9999


def test_fewer_dimensions_are_the_leading_ones_at_unit_length(
    server: Command, encoder: TransformerEncoder
) -> None:
    with client(server) as openais:
        answer = openais.embeddings.create(model="tiny-model", input=TEXTS, dimensions=5)
        with pytest.raises(openai.BadRequestError, match="dimensions: 33 is more than the 32"):
            openais.embeddings.create(model="tiny-model", input=TEXTS, dimensions=33)
    leading = encoder.encode(TEXTS, label="")[:, :5]
    expected = leading / np.linalg.norm(leading, axis=1, keepdims=True)
    assert np.abs(np.array([one.embedding for one in answer.data]) - expected).max() < 0.02


def test_langchain_gets_the_vectors_of_encode(server: Command, encoder: TransformerEncoder) -> None:
    from langchain_openai import OpenAIEmbeddings  # noqa: PLC0415 - it takes its time

    langchain = OpenAIEmbeddings(
        model="tiny-model", base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY,
        check_embedding_ctx_length=False, chunk_size=2,
    )  # fmt: skip
    assert lowest(langchain.embed_documents(TEXTS), encoder, TEXTS) >= 0.9999
    assert lowest([langchain.embed_query(TEXTS[1])], encoder, TEXTS[1:2]) >= 0.9999


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], [[1], "text"]])
def test_token_ids_are_refused_with_what_to_set(server: Command, tokens: Any) -> None:
    with (
        client(server) as openais,
        pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as refused,
    ):
        openais.embeddings.create(model="tiny-model", input=tokens)
    assert refused.value.param == "input[0]"


def test_sixty_four_clients_at_once_get_their_own_vectors(
    server: Command, encoder: TransformerEncoder
) -> None:
    draw = random.Random(5)
    requests = [
        [
            " ".join(draw.choices(WORDS, k=draw.randint(0, 30)))
            for _ in range(draw.choice([1, 3, 40]))
        ]
        for _ in range(96)
    ]
    with client(server) as openais, ThreadPoolExecutor(64) as pool:
        answers = list(
            pool.map(
                lambda texts: openais.embeddings.create(model="tiny-model", input=texts), requests
            )
        )
    found = [one.embedding for answer in answers for one in answer.data]
    assert lowest(found, encoder, [text for texts in requests for text in texts]) >= 0.9999
    page = ask(server.port, "GET", "/metrics").body.decode()
    batches, texts = (
        metric(server.port, f"angle_adapt_batch_texts_{what}") for what in ("count", "sum")
    )
    assert texts / batches > 4, page
    assert metric(server.port, "angle_adapt_texts_waiting") == 0


def test_the_model_says_what_it_is(server: Command) -> None:
    with client(server) as openais:
        (listed,) = openais.models.list().data
        assert openais.models.retrieve("tiny-model") == listed
        with pytest.raises(openai.NotFoundError, match="no model 'other' here, only 'tiny-model'"):
            openais.models.retrieve("other")
        with pytest.raises(openai.NotFoundError, match="only 'tiny-model'"):
            openais.embeddings.create(model="gpt-4", input="text")
    told = listed.model_dump()
    assert (told["dimensions"], told["max_length"], told["pooling"]) == (32, 40, "last")
    assert told["backbone"].startswith("tiny-backbone")


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/models", "/v1/models/tiny-model"])
def test_nothing_is_told_without_the_key(server: Command, key: str, path: str) -> None:
    method = "POST" if path.endswith("embeddings") else "GET"
    refused = ask(server.port, method, path, b"{", key)
    assert refused.status == 401
    assert refused.json["error"]["code"] == "invalid_api_key"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "32" not in refused.body.decode()


def test_the_first_lines_say_where_it_is_and_how_to_ask(server: Command) -> None:
    first, curl = server.shown
    assert first.startswith(f"http://127.0.0.1:{server.port}/v1: ready")
    assert re.search(rf"curl http://\S+/v1/embeddings .*Bearer \${VARIABLE}", curl)
    assert KEY not in curl
