"""Versioned prompt files: ``prompts/NAME.vN.txt``, front matter in YAML and a template in Jinja.

The template is rendered in a sandbox, and a text is only ever a value in it: what a text contains
is never rendered again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.errors import ConfigError
from pipeline.records import Record

FOLDER: Final = Path(__file__).resolve().parents[1] / "prompts"

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class Prompt(Record):
    """A prompt as its file states it."""

    name: str
    version: int
    task: str
    language: str
    description: str
    template: str

    def render(self, **values: str) -> str:
        """Return the template with ``values`` filled in.

        Raises:
            ConfigError: when the template names a variable that is not among ``values``.
        """
        try:
            return _ENVIRONMENT.from_string(self.template).render(values)
        except TemplateError as error:
            message = f"prompt {self.name}.v{self.version}: {error}"
            raise ConfigError(message) from error


@cache
def load(name: str) -> Prompt:
    """Return the prompt ``name`` ("likelihood-paraphrase.v1").

    Raises:
        ConfigError: when there is no such file, or its front matter lacks a field.
    """
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.v*.txt")))
        message = f"there is no prompt {name!r}; there are {known}"
        raise ConfigError(message)
    try:
        _, front, template = path.read_text(encoding="utf-8").split("---\n", 2)
        return Prompt.model_validate({**yaml.safe_load(front), "template": template.rstrip("\n")})
    except (ValueError, TypeError, yaml.YAMLError) as error:
        message = f"{path}: the front matter must state name, version, task, language, description"
        raise ConfigError(message) from error


def identity(name: str) -> str:
    """Return the digest of a prompt's wording."""
    return hashlib.sha256(load(name).model_dump_json().encode()).hexdigest()
