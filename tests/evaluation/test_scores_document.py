"""The code that docs/scores.md shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.encoder import strength
from pipeline.evaluation.shift import score_shift

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scores.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_shown_code_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy itself is tested in tests/encoder; here its arguments are looked at."""
    copied: list[tuple[object, ...]] = []
    monkeypatch.setattr(strength, "scaled_copy", lambda *given: copied.append(given))
    old = np.random.default_rng(1).uniform(0.5, 1, 200)
    table = score_shift(old, old**2).model_dump(mode="json")["table"]
    names = {"table": table, "old_cosines": old, "new_cosines": old**2}
    for block in BLOCKS:
        exec(block, names)  # noqa: S102 - our own document

    assert len(BLOCKS) == 3
    assert copied == [(Path("model"), 0.75, Path("model-at-0.75"))]
    assert names["new"] == pytest.approx(0.83**2, abs=0.01)
    threshold, same_side = map(float, capsys.readouterr().out.split())
    assert threshold == pytest.approx(names["new"])
    assert same_side == pytest.approx(1, abs=0.01)
