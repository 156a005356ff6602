"""Settings of the sources that hold what people ask and report: GitHub and Stack Exchange."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from pipeline.sections.base import Section

# No part is "." or "..", and none holds a slash: a name is part of an address.
Repository = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9_.-]*[A-Za-z0-9_-]$")
]
Code = Literal["drop", "keep"]


class GitHubSettings(Section):
    """Issues of GitHub repositories, through the REST API."""

    repositories: tuple[Repository, ...] = Field((), description="owner/name of each")
    token: str = Field(
        "GITHUB_TOKEN",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="NAME of the environment variable that holds a token; empty: none is sent",
    )
    base_url: str = Field(
        "https://api.github.com",
        pattern=r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[^?#@\s]*)?$",
        description="of the API; of GitHub Enterprise Server: https://HOST/api/v3",
    )
    state: Literal["all", "open", "closed"] = "all"
    since: str = Field(
        "",
        pattern=r"^(\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?)?$",
        description="only issues that changed on this day (UTC) or later; empty: all",
    )
    max_issues: int = Field(
        0, ge=0, description="of a repository, those unchanged for longest first; 0: all"
    )
    code: Code = Field("drop", description="what becomes of code blocks, logs and stack traces")
    duplicates: Literal["none", "marked", "closed"] = Field(
        "marked",
        description="issues asked what they are duplicates of: those whose label, closing reason "
        "or text says that they are one, or every closed issue with comments",
    )
    timeout: float = Field(30.0, gt=0, description="seconds without a byte before another try")
    longest_wait: float = Field(
        3_600.0, ge=0, description="seconds in all for rate limits to end, then the rest is left"
    )

    @field_validator("since", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Take a date as YAML reads it."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value.tzinfo else value
        return value.isoformat() if isinstance(value, date) else value


class StackExchangeSettings(Section):
    """Questions of a Stack Exchange data dump in the folder ``collect.path``."""

    site: str = Field(
        "",
        pattern=r"^(([a-z0-9-]{1,63}\.){1,5}[a-z]{2,24})?$",
        description="host of the site, such as cooking.stackexchange.com; empty: the folder's name",
    )
    tags: tuple[str, ...] = Field((), description="questions with one of these; empty: all")
    min_score: int | None = Field(None, description="posts of a lower score are left out")
    answers: bool = Field(default=False, description="answers too, as documents of their own")
    max_questions: int = Field(0, ge=0, description="of a site, in their order; 0: all")
    code: Code = Field("drop", description="what becomes of code blocks")
