"""The training loop: LoRA adapters of an encoder, moved by the AnglE objectives.

``accelerate`` does device, precision and (later) processes; the loop itself is ours because the
losses see a whole batch of pairs at once while its texts run through the model in chunks
(docs/decisions/0002). The unique texts of a batch are encoded once, and the layers below the
adapters once per text (`pipeline.encoder.layers`).
"""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from accelerate import Accelerator
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from pipeline.encoder import Vectors
from pipeline.encoder.layers import SplitEncoder
from pipeline.encoder.transformer import TransformerEncoder, by_length, fast_dtype
from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.records import LabeledPair
from pipeline.sections import TrainSettings
from pipeline.training import objectives
from pipeline.training.objectives import PairBatch, Weights

log = logging.getLogger(__name__)

State = dict[str, Tensor]


@dataclass
class History:
    """What happened while training."""

    curve: list[dict[str, float]] = field(default_factory=list)
    dev_curve: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    best_step: int = 0
    best_dev: float | None = None
    stopped_early: bool = False


class Trainer:
    """One training run over an encoder whose model it wraps in LoRA adapters."""

    def __init__(
        self, encoder: TransformerEncoder, pairs: Sequence[LabeledPair], settings: TrainSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        self.encoder, self.pairs, self.settings = encoder, list(pairs), settings
        layers = encoder.model.config.num_hidden_layers
        first = self.first_layer = layers - max(1, round(settings.lora_depth * layers))
        self.model = add_lora(encoder, settings, range(first, layers))
        base = cast("PreTrainedModel", self.model.get_base_model())
        self.split = SplitEncoder(encoder, base, first)
        texts = list(dict.fromkeys(text for p in pairs for text in (p.sentence1, p.sentence2)))
        self.place = {text: index for index, text in enumerate(texts)}
        self.hidden = self.split.lower(encoder.token_ids(texts), "lower layers")
        self.weights = Weights(**{name: getattr(settings, key) for name, key in _FIELDS.items()})
        per_epoch = max(1, len(self.pairs) // settings.batch_pairs)
        self.total_steps = max(1, round(per_epoch * settings.epochs))
        self._prepare()
        self.history = History()

    def _prepare(self) -> None:
        precision = "bf16" if fast_dtype() is torch.bfloat16 else "no"
        self.accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.trainable_parameters = sum(p.numel() for p in trainable)
        optimizer = torch.optim.AdamW(trainable, lr=self.settings.learning_rate, weight_decay=0.0)
        schedule = get_linear_schedule_with_warmup(
            optimizer, round(self.settings.warmup * self.total_steps), self.total_steps
        )
        self.optimizer, self.schedule = self.accelerator.prepare(optimizer, schedule)

    def run(self, dev_score: Callable[[], float] | None) -> History:
        """Train; with ``dev_score`` keep the best adapter, and stop when the score stops rising."""
        history, best = self.history, self.adapter_state()
        if dev_score:
            history.best_dev = self._scored(dev_score, 0)
        every = max(1, self.total_steps // self.settings.evaluations)
        stale = 0
        with Progress("train", self.total_steps, "step") as progress:
            for batch in self._batches():
                loss = self._step(batch)
                progress.advance(1, loss=f"{loss:.3f}")
                last = history.steps == self.total_steps
                if dev_score and (history.steps % every == 0 or last):
                    score = self._scored(dev_score, history.steps)
                    stale = 0 if score > (history.best_dev or -1.0) else stale + 1
                    if stale == 0:
                        history.best_dev, history.best_step = score, history.steps
                        best = self.adapter_state()
                    elif stale >= self.settings.patience and not last:
                        history.stopped_early = True
                        break
        if dev_score:
            self.model.load_state_dict(best, strict=False)
        else:
            history.best_step = history.steps
        return history

    def _scored(self, dev_score: Callable[[], float], step: int) -> float:
        score = dev_score()
        self.history.dev_curve.append({"step": step, "spearman": score})
        log.info("train: step %d of %d, dev Spearman %.4f", step, self.total_steps, score)
        return score

    def adapter_state(self) -> State:
        """Return a copy of the trainable weights."""
        return {
            name: copy.deepcopy(parameter.detach())
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def _batches(self) -> Iterator[list[LabeledPair]]:
        """Yield ``total_steps`` batches, in a new seeded order each epoch."""
        order = random.Random(self.settings.seed)  # noqa: S311 - not for secrets
        size, yielded = min(self.settings.batch_pairs, len(self.pairs)), 0
        while True:
            shuffled = order.sample(self.pairs, len(self.pairs))
            for start in range(0, len(shuffled) - size + 1, size):
                yield shuffled[start : start + size]
                yielded += 1
                if yielded == self.total_steps:
                    return

    def vectors(self, hidden: Sequence[Tensor]) -> Vectors:
        """Return the vectors the model gives now to texts whose lower hidden states are given."""
        self.model.eval()
        with self.accelerator.autocast():
            return self.split.vectors(hidden)

    def _step(self, pairs: list[LabeledPair]) -> float:
        self.model.train()
        sides = [[self.place[p.sentence1] for p in pairs], [self.place[p.sentence2] for p in pairs]]
        unique = sorted({*sides[0], *sides[1]}, key=lambda text: -len(self.hidden[text]))
        where = {text: row for row, text in enumerate(unique)}
        index = torch.tensor([[where[text] for text in side] for side in sides])
        score = torch.tensor([p.score for p in pairs])

        vectors = self._embed([self.hidden[text] for text in unique])
        left, right = vectors[index[0]], vectors[index[1]]
        place = vectors.device
        batch = PairBatch(left, right, score.to(place), index.flatten().to(place))
        terms = objectives.total(batch, self.weights)
        self.accelerator.backward(terms["loss"])
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        values = {name: float(term.detach()) for name, term in terms.items()}
        self._update(values, sum(len(self.hidden[text]) for text in unique))
        return values["loss"]

    def _embed(self, hidden: list[Tensor]) -> Tensor:
        """Return the vectors of ``hidden`` (longest first), with their graph, chunk by chunk.

        Chunks that fit in a processor's cache are a quarter faster than one large batch.
        """
        lengths = [len(state) for state in hidden]
        with self.accelerator.autocast():
            parts = [
                self.split.upper([hidden[index] for index in chunk]).float()
                for chunk in by_length(lengths, self.settings.chunk_tokens)
            ]
        return torch.cat(parts)

    def _update(self, terms: dict[str, float], tokens: int) -> None:
        if not all(map(_is_finite, terms.values())):
            step = self.history.steps + 1
            message = f"the loss is not finite at step {step} ({terms}): lower train.learning_rate"
            raise InputError(message)
        rate = self.schedule.get_last_lr()[0]
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.history.steps += 1
        self.history.tokens += tokens
        self.history.curve.append({"step": self.history.steps, **terms, "learning_rate": rate})


_FIELDS = {
    "cosine": "cosine_weight",
    "in_batch": "in_batch_weight",
    "angle": "angle_weight",
    "cosine_temperature": "cosine_temperature",
    "in_batch_temperature": "in_batch_temperature",
    "angle_temperature": "angle_temperature",
    "positive_threshold": "positive_threshold",
}


def _is_finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")  # noqa: PLR0124 - NaN is not itself


def add_lora(encoder: TransformerEncoder, settings: TrainSettings, layers: range) -> PeftModel:
    """Return the encoder's model with fresh LoRA adapters in ``layers`` (float32, rest frozen)."""
    numbers, names = "|".join(map(str, layers)), "|".join(settings.lora_targets)
    lora = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=rf"(.*\.)?layers\.({numbers})\..*\.({names})",
    )
    try:
        model = get_peft_model(encoder.model, lora)
    except ValueError as error:
        message = f"LoRA cannot be added to {encoder.spec.backbone!r}: {error}"
        raise InputError(message) from error
    return cast("PeftModel", model)
