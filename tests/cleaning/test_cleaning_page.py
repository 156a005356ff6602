"""docs/cleaning.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.cleaning.personal_data import FINDERS
from pipeline.cleaning.rules import LAYOUT, RULES
from pipeline.sections import CleanSettings

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cleaning.md").read_text(encoding="utf-8")
REASON = re.compile(r"^\| `(\w+)` \| [^|]+ \| (?:`(\w+)`|none) \| ([^|]*) \|$", re.MULTILINE)
KIND = re.compile(r"^\| `(\w+)` \| [^|]+ \|$", re.MULTILINE)
WORDS = {"any": (), "off": None}


def test_the_reasons_are_those_of_the_code_in_its_order() -> None:
    duplicates = ["exact_duplicate", "near_duplicate", "semantic_duplicate"]
    listed = [reason for reason, _, _ in REASON.findall(TEXT)]
    assert listed == ["boilerplate", *LAYOUT, *RULES, *duplicates]


def test_each_reason_names_its_setting_and_the_default() -> None:
    defaults = CleanSettings().model_dump()
    for _, setting, default in REASON.findall(TEXT):
        if setting:
            said = default.strip()
            assert (WORDS[said] if said in WORDS else float(said)) == defaults[setting]


def test_every_setting_is_told_of() -> None:
    told = set(re.findall(r"`(\w+)`", TEXT))
    assert set(CleanSettings.model_fields) <= told


def test_the_kinds_of_personal_data_are_those_of_the_code() -> None:
    assert KIND.findall(TEXT) == list(FINDERS)
