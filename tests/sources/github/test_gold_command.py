"""One command from a list of repositories to a gold set, as its user meets it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import gold as making
from flows import planning
from pipeline import gold
from pipeline.config import load, parse
from pipeline.gold import GoldPair
from pipeline.records import Document, pair_id, text_id
from pipeline.settings import HOME_VARIABLE
from tests.sources.github.conftest import CHECKOUT, TOKEN, Hub, at

WORDS = ["window", "file", "crash", "button", "network", "slow", "memory", "error", "login"]


def repository(name: str) -> dict[str, Any]:
    draw = random.Random(name)
    held = []
    for number in range(1, 41):
        body = f"Write to {number}@example.org. " + " ".join(draw.choices(WORDS, k=12))
        issue = {
            "number": number,
            "title": f"Title {number}",
            "body": body,
            "updated_at": at(number),
        }
        if number % 4 == 0:
            issue |= {"state": "closed", "state_reason": "duplicate", "comments": 1}
        held.append(issue)
    said = {
        str(number): [{"event": "commented", "author_association": "OWNER",
                       "body": f"Duplicate of #{number - 1}"}]
        for number in range(4, 41, 4)
    }  # fmt: skip
    return {"issues": held, "timelines": said}


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = {"PYTHONPATH": str(CHECKOUT), "ANGLE_ADAPT_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "gold", *arguments],
        cwd=folder, env={**os.environ, **paths, TOKEN: "good"}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_a_list_of_repositories_becomes_a_gold_set(hub: Hub, tmp_path: Path) -> None:
    hub.holds({name: repository(name) for name in ("a/b", "c/d", "e/f")})
    domain = tmp_path / "issues.yaml"
    domain.write_text(
        "domain: issues\ncollect:\n  source: github\n  github:\n"
        "    repositories: [a/b, c/d, e/f, no/where]\n"
        f"    base_url: {hub.url}\n    token: {TOKEN}\n"
    )
    ran = command(tmp_path, "issues.yaml", "-o", "gold.csv", "--negatives", "2")
    assert ran.returncode == 0, ran.stderr
    assert "gold.csv: 90 pairs, split by repository" in ran.stdout
    assert "no/where: not_found_or_private" in ran.stderr
    config = load(domain, [f"evaluate.gold={tmp_path / 'gold.csv'}"])
    pairs = gold.load(config)
    assert sorted({pair.score for pair in pairs}) == [0.0, 1.0]
    assert sum(pair.score for pair in pairs) == 30
    sides = {(pair.name1.partition("#")[0], pair.split) for pair in pairs}
    assert len(sides) == 3
    assert {side for _, side in sides} == {"dev", "test"}
    assert not any("@example.org" in pair.sentence1 for pair in pairs)
    assert all("[email]" in pair.sentence1 for pair in pairs)
    written = (tmp_path / "gold.csv").read_bytes()
    asked = len(hub.asked())
    assert command(tmp_path, "issues.yaml", "-o", "gold.csv", "--negatives", "2").returncode == 0
    assert (tmp_path / "gold.csv").read_bytes() == written
    later = [one for one in hub.asked()[asked:] if "no/where" not in one["path"]]
    assert sum(one["bytes"] for one in later) == 0


def test_the_first_plan_over_repositories_fetches_them(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(TOKEN, "good")
    hub.holds({"a/b": repository("a/b")})
    domain = tmp_path / "issues.yaml"
    domain.write_text(
        "domain: issues\ncollect:\n  source: github\n  github:\n    repositories: [a/b]\n"
        f"    base_url: {hub.url}\n    token: {TOKEN}\n"
    )
    assert planning.make(str(domain), ()).documents == 40


def test_a_source_that_knows_no_duplicates_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Some text of a file.")
    (tmp_path / "plain.yaml").write_text("domain: x\ncollect: {source: files, path: text.txt}\n")
    ran = command(tmp_path, "plain.yaml", "-o", "gold.csv")
    assert ran.returncode == 3
    assert "no two of the 1 documents are called duplicates" in ran.stderr
    assert not (tmp_path / "gold.csv").exists()


def test_gold_texts_are_without_the_template_that_clean_takes_from_the_others() -> None:
    documents = [
        Document(
            id=text_id(f"{n}"), name=f"a/b#{n}", source="github", group="a/b", title=f"Title {n}",
            text=f"What happens?\n\nThe {word} does not open. Ask {word}@example.org.",
        )
        for n, word in enumerate(["door", "window", "lid", "box", "book", "gate", "eye"])
    ]  # fmt: skip
    found = making.tidied(documents, parse({"domain": "x"}))
    assert found[1].text == "The window does not open. Ask [email]."
    kept = making.tidied(documents, parse({"domain": "x", "clean": {"boilerplate_share": 1}}))
    assert kept[1].text == "What happens?\n\nThe window does not open. Ask [email]."


def test_any_text_comes_back_from_the_file_as_it_was(tmp_path: Path) -> None:
    hostile = ["=1+1", 'a "quoted", text', "two\nlines\r\nand\rmore", "\ufeffé\u2028x", "a\tb;c"]
    pairs = [
        GoldPair(id=pair_id(first, "other"), sentence1=first, sentence2="other", score=1.0,
                 split="dev", name1="a/b#1", category="duplicate")
        for first in hostile
    ]  # fmt: skip
    path = tmp_path / "gold.csv"
    path.write_bytes(making.as_csv(pairs, 5.0).encode())
    config = parse({"domain": "x", "evaluate": {"gold": str(path), "max_score": 5.0}})
    assert gold.load(config) == pairs
