from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import prompts
from pipeline.errors import ConfigError

FRONT = "---\nname: ask\nversion: 1\ntask: rate\nlanguage: en\ndescription: Asks.\n---\n"
NAMES = sorted(path.stem for path in prompts.FOLDER.glob("*.v*.txt"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    prompts.load.cache_clear()
    yield tmp_path
    prompts.load.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_file_loads_and_is_named_after_its_front_matter(name: str) -> None:
    prompt = prompts.load(name)
    assert name == f"{prompt.name}.v{prompt.version}"
    assert prompt.template.strip()


def test_the_default_prompt_is_there() -> None:
    assert "likelihood-paraphrase.v1" in NAMES


def test_the_template_is_filled_in_and_keeps_its_lines(folder: Path) -> None:
    (folder / "ask.v1.txt").write_text(FRONT + "A: {{ text }}\nB:\n")
    assert prompts.load("ask.v1").render(text="one\ntwo") == "A: one\ntwo\nB:"


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% for x in y %}", "---\n", "<b>&amp;</b>", "{#"])
def test_a_text_is_a_value_and_never_rendered_again(folder: Path, text: str) -> None:
    (folder / "ask.v1.txt").write_text(FRONT + "{{ text }}")
    assert prompts.load("ask.v1").render(text=text) == text


def test_a_variable_without_a_value_is_an_error(folder: Path) -> None:
    (folder / "ask.v1.txt").write_text(FRONT + "{{ other }}")
    with pytest.raises(ConfigError, match=r"ask\.v1: 'other' is undefined"):
        prompts.load("ask.v1").render(text="x")


def test_a_template_cannot_reach_into_the_interpreter(folder: Path) -> None:
    (folder / "ask.v1.txt").write_text(FRONT + "{{ text.__class__.__mro__ }}")
    with pytest.raises(ConfigError, match="unsafe"):
        prompts.load("ask.v1").render(text="x")


def test_an_unknown_prompt_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no prompt 'none\.v1'.*likelihood-paraphrase\.v1"):
        prompts.load("none.v1")


@pytest.mark.parametrize(
    "content",
    [FRONT.replace("task: rate\n", "") + "x", FRONT.replace("version: 1", "version: one") + "x",
     "no front matter", "---\n- a\n---\nx", "---\n: [\n---\nx", ""],
)  # fmt: skip
def test_front_matter_that_lacks_something_is_an_error_that_names_the_file(
    folder: Path, content: str
) -> None:
    (folder / "ask.v1.txt").write_text(content)
    with pytest.raises(ConfigError, match=r"ask\.v1\.txt: the front matter must state"):
        prompts.load("ask.v1")


def test_the_identity_changes_with_the_wording(folder: Path) -> None:
    (folder / "ask.v1.txt").write_text(FRONT + "A {{ text }}")
    (folder / "ask.v2.txt").write_text(FRONT + "B {{ text }}")
    assert prompts.identity("ask.v1") == prompts.identity("ask.v1")
    assert prompts.identity("ask.v1") != prompts.identity("ask.v2")
