"""The training loop: adapters of an encoder, moved by the AnglE objectives.

``accelerate`` does device and processes; the loop itself is ours because a loss sees a
whole batch of pairs at once while its texts run through the model in chunks (docs/decisions/0002).
The distinct texts of a batch are encoded once, and the layers below the adapters once per text.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.disk import write_atomically
from pipeline.encoder import Vectors
from pipeline.encoder.layers import SplitEncoder
from pipeline.encoder.loading import fast_dtype
from pipeline.encoder.stack import layers_of
from pipeline.encoder.transformer import TransformerEncoder
from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.records import ScoredTexts
from pipeline.sections import TrainSettings
from pipeline.training import adapters, batches, examples, presets, state
from pipeline.training.checkpoints import Checkpoint, Checkpoints
from pipeline.training.gradients import BatchGradient, Figures, Memory, batch_of
from pipeline.training.objectives import WeightedSum
from pipeline.training.state import History
from pipeline.training.texts import TextStates

log = logging.getLogger(__name__)

NOT_FINITE = "not_finite.json"


class Trainer:
    """One training run over an encoder whose model it wraps in adapters."""

    def __init__(
        self,
        encoder: TransformerEncoder,
        pairs: Sequence[ScoredTexts],
        settings: TrainSettings,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        objective = checked(pairs, settings)
        torch.manual_seed(settings.seed)
        self.encoder, self.pairs, self.settings = encoder, list(pairs), settings
        self.checkpoints = checkpoints
        # Its own precision is one for a whole process: a second run could not have another.
        self.accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
        self.model = adapters.prepared(encoder, settings)
        self.first_layer = adapters.first_layer(self.model)
        self.split = SplitEncoder(encoder, self._base(), self.first_layer)
        self.gradient = BatchGradient(self.model, self.split, objective, self.autocast)
        self.gradient.depths = self._depths()
        self._shard()
        self.memory = Memory(settings.chunk_tokens, settings.graph_tokens)
        self._read_texts()
        size = min(settings.batch_pairs, len(self.pairs))
        self.total_steps = batches.steps(len(self.pairs), size, settings.epochs)
        weights = state.trainable(self.model)
        self.trainable_parameters = sum(weight.numel() for weight in weights.values())
        self.optimizer = torch.optim.AdamW(weights.values(), weight_decay=0.0, fused=True)
        self.history, self.best = History(), state.copied(self.model)
        self.step_done: Callable[[int], None] | None = None
        self._saved = time.monotonic()

    def _base(self) -> PreTrainedModel:
        return cast("PreTrainedModel", self.model.get_base_model())

    def _shard(self) -> None:
        world = self.gradient.world
        if self.settings.shard and world.size > 1:
            trained = state.trainable(self.model).values()
            world.shard(layers_of(self._base()), list(trained))
            self.gradient.sharded = True

    def _depths(self) -> tuple[int, ...]:
        early, count = self.settings.early_layers, self.encoder.model.config.num_hidden_layers
        if not early:
            return ()
        if min(early) <= self.first_layer or max(early) >= count:
            message = (
                f"train.early_layers {list(early)}: the trained layers of this backbone allow "
                f"{self.first_layer + 1} to {count - 1}; raise train.lora_depth for earlier ones"
            )
            raise InputError(message)
        return (*sorted(early), count)

    def _read_texts(self) -> None:
        texts = list(dict.fromkeys(t for p in self.pairs for t in (p.sentence1, p.sentence2)))
        place = {text: index for index, text in enumerate(texts)}
        self._rows = [(place[p.sentence1], place[p.sentence2], p.score) for p in self.pairs]
        self.states = TextStates(self.encoder, self.split, texts, "lower layers")
        if self.settings.distill_weight:
            with self.model.disable_adapter():
                frozen = torch.from_numpy(self.vectors(self.states.all()))
            self.gradient.frozen = frozen.to(self.model.device)
            self.gradient.distill_weight = self.settings.distill_weight

    def run(self, dev_score: Callable[[], float] | None = None) -> History:
        """Train; with ``dev_score`` keep the best adapter, and stop when the score stops rising.

        Goes on from the newest whole checkpoint, when there is one, and ends with the weights of a
        run that was never stopped.

        Raises:
            InputError: when the loss, a gradient or a weight is not finite; nothing is saved then.
            ResourceError: when memory or disk are too small.
        """
        with _deterministic():
            self._begin(dev_score)
            with Progress("train", self.total_steps, "step") as progress:
                progress.advance(self.history.steps)
                for numbers in self._remaining():
                    loss = self._step(numbers)
                    progress.advance(1, loss=f"{loss:.3f}")
                    if dev_score:
                        self._judge(dev_score)
                    self._keep()
                    if self.step_done:
                        self.step_done(self.history.steps)
        if dev_score:
            state.load(self.model, self.best)
        else:
            self.history.best_step = self.history.steps
        return self.history

    def _begin(self, dev_score: Callable[[], float] | None) -> None:
        found = self.checkpoints.newest() if self.checkpoints else None
        if found:
            self.history = History(**found.facts["history"])
            self.memory = Memory(**found.facts["memory"])
            self.best = state.restore(self.model, self.optimizer, found.tensors)
            log.info("train: going on from step %d of %d", found.step, self.total_steps)
        elif dev_score:
            self.history.best_dev = self._scored(dev_score)

    def _remaining(self) -> Iterator[list[int]]:
        settings, scores = self.settings, [pair.score for pair in self.pairs]
        every = batches.batches(scores, settings.batch_pairs, settings.seed, settings.sampler)
        for numbers in islice(every, self.history.steps, self.total_steps):
            if self.history.stopped_early:
                return
            self.history.comparisons += batches.comparisons([scores[n] for n in numbers])
            yield numbers

    def _judge(self, dev_score: Callable[[], float]) -> None:
        """Score the dev pairs when it is time, and note whether training pays."""
        history, last = self.history, self.history.steps == self.total_steps
        if not self._is_judged(history.steps):
            return
        score = self._scored(dev_score)
        if score > (history.best_dev if history.best_dev is not None else -1.0):
            history.best_dev, history.best_step, history.stale = score, history.steps, 0
            self.best = state.copied(self.model)
        else:
            history.stale += 1
            history.stopped_early = history.stale >= self.settings.patience and not last

    def _is_judged(self, step: int) -> bool:
        every = max(1, self.total_steps // self.settings.evaluations)
        return step % every == 0 or step == self.total_steps

    def _is_measured(self, step: int) -> bool:
        return step == 1 or self._is_judged(step)

    def _scored(self, dev_score: Callable[[], float]) -> float:
        score = self.gradient.world.from_first(dev_score(), self.model.device)
        self.history.dev_curve.append({"step": self.history.steps, "spearman": score})
        step, total = self.history.steps, self.total_steps
        log.info("train: step %d of %d, dev Spearman %.4f", step, total, score)
        return score

    def vectors(self, hidden: Sequence[Tensor]) -> Vectors:
        """Return the vectors the model gives now to texts whose lower hidden states are given."""
        self.model.eval()
        with self.autocast():
            return self.split.vectors(hidden, "")

    def autocast(self) -> torch.autocast:
        """Return the context in which matrix products have the run's precision."""
        mixed = dtype(self.settings) is torch.bfloat16
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=mixed)

    def _step(self, numbers: list[int]) -> float:
        batch = batch_of([self._rows[number] for number in numbers], self.states.lengths)
        measure = self._is_measured(self.history.steps + 1)
        figures = self.gradient.add(batch, self.states, self.memory, measure=measure)
        weights = list(state.trainable(self.model).values())
        norm = float(torch.nn.utils.clip_grad_norm_(weights, 1.0))
        self._refuse_not_finite(numbers, figures.terms | {"gradient_norm": norm})
        rate = state.learning_rate(
            self.history.steps, self.total_steps, self.settings.warmup, self.settings.learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        largest = float(torch.stack([weight.detach().abs().max() for weight in weights]).max())
        self._refuse_not_finite(numbers, {"largest_weight": largest})
        self._note(figures, rate)
        return figures.terms["loss"]

    def _note(self, figures: Figures, rate: float) -> None:
        self.history.steps += 1
        self.history.tokens += figures.tokens
        row = {"step": self.history.steps, **figures.terms, "learning_rate": rate}
        self.history.curve.append(row)
        if figures.norms:
            self.history.gradient_norms.append({"step": self.history.steps, **figures.norms})

    def _refuse_not_finite(self, numbers: list[int], values: dict[str, float]) -> None:
        """Stop before anything is kept; write down the batch that it happened with."""
        wrong = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
        if not wrong:
            return
        step, where = self.history.steps + 1, ""
        if self.checkpoints and self.gradient.world.first:
            path = self.checkpoints.folder / NOT_FINITE
            chosen = [self.pairs[number] for number in numbers]
            pairs = [[pair.sentence1, pair.sentence2, str(pair.score)] for pair in chosen]
            found = {"step": step, "not_finite": wrong, "pairs": pairs}
            write_atomically(path, json.dumps(found, indent=2))
            where = f"; its pairs are in {path}"
        names = ", ".join(name.replace("_", " ") for name in wrong)
        message = f"not finite at step {step}: {names}{where}; lower train.learning_rate"
        raise InputError(message)

    def _keep(self) -> None:
        """Write a checkpoint when the last one is old enough; the first process alone."""
        waited = time.monotonic() - self._saved >= self.settings.checkpoint_seconds
        if not (self.checkpoints and waited and self.gradient.world.first):
            return
        facts = {"history": self.history.facts(), "memory": vars(self.memory)}
        tensors = state.captured(self.model, self.optimizer, self.best)
        self.checkpoints.save(Checkpoint(self.history.steps, tensors, facts))
        self._saved = time.monotonic()


def checked(pairs: Sequence[ScoredTexts], settings: TrainSettings) -> WeightedSum:
    """Return the objective of a run, once its pairs are known to teach it something.

    Raises:
        InputError: when settings or pairs cannot be trained with.
    """
    objective = presets.objective(settings)
    examples.check(pairs, settings, objective.weights.get("in_batch", 0.0))
    return objective


def dtype(settings: TrainSettings) -> torch.dtype:
    """Return the precision of the frozen weights and of matrix products; losses are float32."""
    return fast_dtype() if settings.precision == "auto" else getattr(torch, settings.precision)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Choose algorithms that give the same result every time, wherever there are any."""
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    deterministic: Any = torch.utils.deterministic
    fill = deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # costs time, changes nothing
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
        deterministic.fill_uninitialized_memory = fill
