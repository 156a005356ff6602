"""Training with angle_emb, as its README shows it for language models."""

from __future__ import annotations

import tempfile

from angle_emb import AnglE  # type: ignore[import-not-found] # lives in its own environment
from datasets import Dataset

from benchmarks.peers import gauge, observe
from benchmarks.peers.gauge import Gauge, Job, Training


def train(job: Job) -> Training:
    """Train on labelled pairs ("format A") with `fit`, its own objectives and its own defaults.

    Left to the library: the objectives and their weights, the linear layers that get adapters (all
    of them), float32, padding, and that a pair is left out of a batch that has one of its texts
    already (`filter_duplicate`). The template counts towards `max_length`, as it does there.
    """
    lora = {"r": job.lora_rank, "lora_alpha": job.lora_alpha}
    angle = _angle(job, apply_lora=True, lora_config_kwargs=lora)
    model = angle.backbone  # `fit` puts a compiled view in its place, which nothing runs
    pairs = [
        {"text1": row["sentence1"], "text2": row["sentence2"], "label": row["score"]}
        for row in gauge.rows(job.data)
    ]
    angle.encode(["one text"], prompt=job.template)
    measured = Gauge()
    observe.watch(model, measured)
    with tempfile.TemporaryDirectory() as folder:
        measured.start()
        angle.fit(
            Dataset.from_list(pairs),
            batch_size=job.batch_pairs,
            output_dir=folder,
            epochs=1,
            learning_rate=job.learning_rate,
            warmup_steps=0,
            text_prompt=job.template,
            argument_kwargs={"report_to": "none", "seed": job.seed},
        )
    return Training(library="angle_emb", **measured.result(), **observe.described(model))


def _angle(job: Job, **options: object) -> AnglE:
    length = job.text_tokens + observe.template_tokens(job)
    return AnglE(job.backbone, is_llm=True, pooling_strategy="last", max_length=length, **options)


if __name__ == "__main__":
    gauge.main(train=train)
