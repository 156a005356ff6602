"""The likelihood annotator: how much one text raises the likelihood of the other.

A small causal language model is poor at rating similarity when asked, but its likelihoods carry it:
for texts a and b the score is the mean over both directions of ``1 - log p(b | a) / log p(b)``,
where log p is the mean log-likelihood of a token of b, and "b given a" means b after the prompt
filled in with a. Zero says that a tells nothing about b; a copy scores close to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from pipeline.encoder.batches import by_length
from pipeline.encoder.lanes import lanes_of, side_by_side
from pipeline.encoder.loading import Request, fast_dtype, pretrained
from pipeline.prompts import Prompt
from pipeline.settings import Home


class Continuation(NamedTuple):
    """Token ids of a text and of the context it follows."""

    context: list[int]
    text: list[int]


class LikelihoodModel:
    """A causal language model that returns mean token log-likelihoods."""

    def __init__(
        self, name: str, prompt: Prompt, max_length: int, home: Home, revision: str = ""
    ) -> None:
        # A context and a text, of max_length tokens each, with the prompt around the first.
        request = Request(
            name=name,
            revision=revision,
            template=prompt.render(text="{text}"),
            max_length=2 * max_length,
            dtype=fast_dtype(),
        )
        self.model, self.tokenizer = pretrained(AutoModelForCausalLM, request, home)
        self.prompt, self.max_length = prompt, max_length
        start = self.tokenizer.bos_token_id
        self._start = [start if start is not None else self.tokenizer.eos_token_id]

    def scores(self, pairs: Sequence[tuple[str, str]], alone: dict[str, float]) -> list[float]:
        """Return the score of each pair; ``alone`` holds log p of each text by itself."""
        directed = [*pairs, *((second, first) for first, second in pairs)]
        given = self._log_likelihoods([self._after(first, second) for first, second in directed])
        ratios = [
            1.0 - value / alone[second] for value, (_, second) in zip(given, directed, strict=True)
        ]
        half = len(pairs)
        return [(ratios[index] + ratios[half + index]) / 2 for index in range(half)]

    def alone(self, texts: Sequence[str]) -> dict[str, float]:
        """Return the mean token log-likelihood of each text by itself."""
        unique = list(dict.fromkeys(texts))
        rows = [Continuation(self._start, self._text_ids(text)) for text in unique]
        values = self._log_likelihoods(rows)
        return dict(zip(unique, values, strict=True))

    def _after(self, given: str, text: str) -> Continuation:
        ids = self.tokenizer(given, add_special_tokens=False)["input_ids"]
        if len(ids) > self.max_length:
            given = str(self.tokenizer.decode(ids[: self.max_length]))
        context = self.tokenizer(self.prompt.render(text=given), add_special_tokens=False)
        return Continuation(context["input_ids"], self._text_ids(text))

    def _text_ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(" " + text, add_special_tokens=False)["input_ids"]
        return ids[: self.max_length]

    def _log_likelihoods(self, rows: Sequence[Continuation]) -> list[float]:
        values = [0.0] * len(rows)
        lengths = [len(row.context) + len(row.text) for row in rows]

        def run(chosen: list[int]) -> list[float]:
            return self._batch([rows[index] for index in chosen])

        with torch.inference_mode():
            batches = by_length(lengths, max_tokens=1_024)
            lanes = lanes_of(self.model.device, sum(lengths))
            for chosen, found in side_by_side(batches, run, lanes):
                for index, value in zip(chosen, found, strict=True):
                    values[index] = value
        return values

    def _batch(self, rows: Sequence[Continuation]) -> list[float]:
        """Return one mean log-likelihood a row; logits are computed for text tokens only."""
        longest = max(len(row.context) + len(row.text) for row in rows)
        tokens = torch.zeros((len(rows), longest), dtype=torch.long)
        asked = torch.zeros((len(rows), longest), dtype=torch.bool)
        for index, row in enumerate(rows):
            end = len(row.context) + len(row.text)
            tokens[index, :end] = torch.tensor(row.context + row.text)
            asked[index, len(row.context) : end] = True
        tokens, asked = tokens.to(self.model.device), asked.to(self.model.device)
        hidden = self.model.model(input_ids=tokens, use_cache=False).last_hidden_state
        predicted = hidden[:, :-1][asked[:, 1:]]
        target = tokens[:, 1:][asked[:, 1:]]
        values = torch.zeros(asked.shape, device=hidden.device)
        values[asked] = self._token_log_likelihood(predicted, target)
        return [float(value) for value in values.sum(dim=1) / asked.sum(dim=1)]

    def _token_log_likelihood(self, hidden: Tensor, target: Tensor) -> Tensor:
        parts = []
        for part, wanted in zip(hidden.split(512), target.split(512), strict=True):
            logits = self.model.lm_head(part).float()
            parts.append(-torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
        return torch.cat(parts)
