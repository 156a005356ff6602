"""The likelihood annotator on the backbone that ships with the project."""

from __future__ import annotations

from pathlib import Path

from pipeline.annotation.annotators import Likelihood, Setting
from pipeline.sections import EncoderSettings, LabelSettings
from pipeline.settings import Home, home


def test_the_embedded_model_scores_paraphrases_above_unrelated_texts(tmp_path: Path) -> None:
    paraphrases = [
        ("Return the number of items in a list.", "Give back how many elements a list has."),
        ("Open the file for reading.", "Opens a file so that its content can be read."),
        ("Wait until the thread has finished.", "Block until the thread terminates."),
        ("Sort the list in place.", "Put the items of the list in order, without a copy."),
    ]
    unrelated = [(a, paraphrases[i - 1][1]) for i, (a, _) in enumerate(paraphrases)]
    texts = [text for pair in paraphrases for text in pair]
    own = Home(tmp_path)
    own.root.mkdir(exist_ok=True)
    home().backbones.mkdir(parents=True, exist_ok=True)
    own.backbones.symlink_to(home().backbones)  # converted once a session
    annotator = Likelihood(Setting(LabelSettings(), EncoderSettings(), own, texts))
    found = annotator.annotate(paraphrases + unrelated).scores
    for near, far in zip(found[:4], found[4:], strict=True):  # of the same first text
        assert near > far
    (copy,) = annotator.annotate([(texts[0], texts[0])]).scores
    assert max(found) < copy <= 1
