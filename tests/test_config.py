from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline import config
from pipeline.config import CHECKOUT, DomainConfig, load, parse, resolve, setting_names
from pipeline.errors import ConfigError, InputError

DOMAINS = sorted((CHECKOUT / "data" / "domains").glob("*.yaml"))


@pytest.fixture
def domain_file(tmp_path: Path) -> Path:
    path = tmp_path / "domain.yaml"
    path.write_text("domain: example\ntrain:\n  epochs: 3\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.name)
def test_every_domain_file_loads_and_is_named_after_its_domain(path: Path) -> None:
    assert load(path).domain == path.stem


def test_the_domain_folder_holds_the_default_domain() -> None:
    assert "python-stdlib" in {path.stem for path in DOMAINS}


def test_a_domain_file_needs_only_its_name() -> None:
    assert parse({"domain": "example"}) == DomainConfig(domain="example")


def test_a_file_overrides_defaults_and_set_overrides_the_file(domain_file: Path) -> None:
    loaded = load(domain_file, ["train.epochs=1", "collect.source=files"])
    assert (loaded.train.epochs, loaded.collect.source) == (1.0, "files")
    assert load(domain_file).train.epochs == 3.0
    assert load(domain_file).train.seed == 13


@pytest.mark.parametrize(
    ("override", "section", "setting", "value"),
    [
        ("train.learning_rate=2e-5", "train", "learning_rate", 2e-5),
        ("train.lora_targets=[q_proj, v_proj]", "train", "lora_targets", ("q_proj", "v_proj")),
        ("clean.mask_personal_data=false", "clean", "mask_personal_data", False),
        ("mine.shares={random: 1.0}", "mine", "shares", {"random": 1.0}),
        ("collect.path=a=b.txt", "collect", "path", "a=b.txt"),
        (" label.prompt =x.v2", "label", "prompt", "x.v2"),
    ],
)
def test_an_override_is_read_as_yaml(
    domain_file: Path, override: str, section: str, setting: str, value: object
) -> None:
    assert getattr(getattr(load(domain_file, [override]), section), setting) == value


@pytest.mark.parametrize("name", [name for name in setting_names() if len(name) > 6])
def test_a_misspelled_setting_is_refused_and_the_right_name_proposed(name: str) -> None:
    *sections, last = name.split(".")
    values: dict[str, object] = {"domain": "example"}
    wrong = last + "x"
    needed = {"chat": {"model": "m"}, "evaluate.sets": {"path": "p"}}
    nested: dict[str, object] = {wrong: 1} | needed.get(".".join(sections[:-1]), {})
    for section in reversed(sections):
        nested = {section: nested}
    values.update(nested)
    with pytest.raises(ConfigError) as caught:
        parse(values, "my.yaml")
    assert f"my.yaml: unknown setting {'.'.join([*sections, wrong])!r}" in str(caught.value)
    assert f"did you mean {name!r}?" in str(caught.value)


def test_a_setting_in_the_wrong_section_is_found_in_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'mine\.epochs'.*'train\.epochs'"):
        parse({"domain": "example", "mine": {"epochs": 1}})


def test_a_setting_like_no_other_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there are \w+, .*licence, path"):
        parse({"domain": "example", "collect": {"zzzz": 1}})


def test_a_setting_of_a_chat_model_is_found_by_its_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"'chat\.judge\.modle'; did you mean 'chat\.judge\.model'"
    ):
        parse({"domain": "example", "chat": {"judge": {"model": "m", "modle": "m"}}})
    with pytest.raises(ConfigError, match=r"chat\.judge\.model is missing"):
        parse({"domain": "example", "chat": {"judge": {}}})


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"train": {"epochs": 0, "epoks": 1}})
    message = str(caught.value)
    assert "domain is missing" in message
    assert "train.epochs: Input should be greater than 0, not 0" in message
    assert "train.epoks" in message


@pytest.mark.parametrize("override", ["train.epochs", "=1", " =1", "train.epochs.deep=1"])
def test_an_override_that_is_no_setting_says_how_to_write_one(
    domain_file: Path, override: str
) -> None:
    with pytest.raises(ConfigError, match=r"--set .*(section\.setting=value|holds no settings)"):
        load(domain_file, [override])


def test_an_override_that_is_not_yaml_is_refused(domain_file: Path) -> None:
    with pytest.raises(ConfigError, match="the value is not YAML"):
        load(domain_file, ["mine.shares={random"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("domain: x\ntrain:\n  - [", r"domain\.yaml, line \d+: "),
        ("- a\n- b\n", "a domain file is a mapping"),
        ("", "a domain file is a mapping"),
        ("domain: Not A Name\n", r"domain: String should match.*not 'Not A Name'"),
        ("domain: ../../etc\n", "domain: String should match"),
        ("domain: x\nrun: !!python/object/apply:os.system ['true']\n", "could not determine"),
        ("domain: x\ntrain: 5\n", "train: "),
    ],
)
def test_a_malformed_domain_file_is_one_message_that_names_it(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "domain.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_domain_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the domain file .*none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"domain: \xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load(binary)


def test_settings_cannot_be_changed_after_loading() -> None:
    loaded = parse({"domain": "example"})
    with pytest.raises(ValidationError, match="frozen"):
        loaded.train.epochs = 5  # type: ignore[misc]


def test_a_path_is_taken_from_the_working_directory_else_from_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("x")
    assert resolve("corpus.txt").read_text() == "x"
    assert resolve("data/domains") == config.CHECKOUT / "data/domains"
    assert resolve(str(tmp_path)) == tmp_path
