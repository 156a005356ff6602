"""Training and encoding with sentence-transformers, as its documentation shows it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType
from sentence_transformers import (  # in its own environment
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses.merged_forward import (
    embed_columns,
)
from sentence_transformers.sentence_transformer.losses import (
    AnglELoss,
    CoSENTLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import (
    Pooling,
    Transformer,
)
from torch import Tensor

from benchmarks.peers import gauge, observe
from benchmarks.peers.gauge import Encoding, Gauge, Job, Training


class Summed(torch.nn.Module):
    """The weighted sum of the losses that stand for our three objectives, on shared embeddings.

    The library runs one loss a dataset; its losses take embeddings too, so the texts of a batch are
    embedded once (as each of the losses would do it alone) and not once for each loss.
    """

    def __init__(self, model: SentenceTransformer, positive: float = 0.9) -> None:
        super().__init__()
        self.model, self.positive = model, positive
        self.cosine = CoSENTLoss(model)
        self.angle = AnglELoss(model)
        self.in_batch = MultipleNegativesRankingLoss(model)

    def forward(self, features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return CoSENT + 0.02 angle + 0.5 in-batch negatives of the positive pairs."""
        vectors = embed_columns(self.model, features)
        total: Tensor = self.cosine.compute_loss_from_embeddings(vectors, labels)
        total = total + 0.02 * self.angle.compute_loss_from_embeddings(vectors, labels)
        chosen = labels >= self.positive
        if bool(chosen.any()):
            pairs = [side[chosen] for side in vectors]
            total = total + 0.5 * self.in_batch.compute_loss_from_embeddings(pairs, labels)
        return total


def train(job: Job) -> Training:
    """Train with its trainer.

    In bfloat16 the frozen weights are stored and multiplied in it and the adapters are float32, as
    ours are: the folder's own precision, with the trainer's automatic mixed precision.

    Left to the library: PEFT's choice of layers for the adapters (queries and values) unless the
    job wants them everywhere, a forward pass a side, padding, attention.
    """
    precision = "float32" if job.precision == "own" else job.precision
    model = _model(job, precision)
    lora = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=job.lora_rank,
        lora_alpha=job.lora_alpha,
        target_modules="all-linear" if job.adapters == "everywhere" else None,
    )
    model.add_adapter(lora)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    model.encode(["one text"])
    measured = Gauge()
    observe.watch(model[0], measured)
    with tempfile.TemporaryDirectory() as folder:
        measured.start()
        settings = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=job.batch_pairs,
            learning_rate=job.learning_rate,
            bf16=precision == "bfloat16",
            use_cpu=True,
            seed=job.seed,
            report_to="none",
            save_strategy="no",
        )
        SentenceTransformerTrainer(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(_pairs(job)),
            loss=Summed(model),
        ).train()
    found = observe.described(model)
    return Training(library="sentence-transformers", **measured.result(), **found)


def encode(job: Job) -> Encoding:
    """Encode with its defaults (batches of 32, longest texts first)."""
    model = _model(job, "float32" if job.precision == "own" else job.precision)
    wrapped = [job.template.replace("{text}", text) for text in observe.texts(job)]
    seconds, vectors = gauge.timed(model.encode, wrapped, job.sizes)
    if job.vectors:
        np.save(job.vectors, vectors.astype(np.float32), allow_pickle=False)
    found = observe.settings(model)
    return Encoding(library="sentence-transformers", seconds=seconds, **found)


def _pairs(job: Job) -> list[dict[str, str | float]]:
    return [
        {
            "sentence1": job.template.replace("{text}", str(row["sentence1"])),
            "sentence2": job.template.replace("{text}", str(row["sentence2"])),
            "score": row["score"],
        }
        for row in gauge.rows(job.data)
    ]


def _model(job: Job, precision: str) -> SentenceTransformer:
    """Return the backbone with last-token pooling, over plain text.

    Left alone, the library would wrap every text in the chat template that the tokenizer carries,
    30 tokens that the others do not have: ``modality_config`` keeps it to text. It would also load
    what the folder stores, bfloat16, and warn that float32 may be faster on a processor: so the
    precision is always named.
    """
    plain = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    transformer = Transformer(
        job.backbone,
        max_seq_length=job.text_tokens + observe.template_tokens(job),
        model_kwargs={"dtype": precision},
        modality_config=plain,
        module_output_name="token_embeddings",
    )
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")


if __name__ == "__main__":
    gauge.main(train=train, encode=encode)
