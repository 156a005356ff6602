"""The score on the dev pairs that a run stops by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr

from pipeline.encoder import cosine
from pipeline.records import ScoredTexts
from pipeline.training.fit import Trainer
from pipeline.training.texts import TextStates


class DevScore:
    """Spearman's rho between a model's cosines and the scores of dev pairs, in [-1, 1]."""

    def __init__(self, trainer: Trainer, pairs: Sequence[ScoredTexts]) -> None:
        texts = [pair.sentence1 for pair in pairs] + [pair.sentence2 for pair in pairs]
        unique = list(dict.fromkeys(texts))
        number = {text: index for index, text in enumerate(unique)}
        self._trainer = trainer
        self._places = np.array([number[text] for text in texts]).reshape(2, -1)
        self._wanted = np.array([pair.score for pair in pairs])
        self._states = TextStates(trainer.encoder, trainer.split, unique, "dev pairs")

    def __call__(self) -> float:
        """Return the score of the model as it is now; 0 where all cosines are equal."""
        world, count = self._trainer.gradient.world, len(self._states.lengths)
        if self._trainer.gradient.sharded:  # layers that are run by all together
            vectors = self._trainer.vectors(self._states.all())
        else:
            own = self._trainer.vectors(self._states.of(world.share(range(count))))
            device = self._trainer.model.device
            vectors = world.gather(torch.from_numpy(own).to(device), count).cpu().numpy()
        cosines = cosine(vectors[self._places[0]], vectors[self._places[1]])
        value = float(spearmanr(cosines, self._wanted).statistic)
        return value if np.isfinite(value) else 0.0
