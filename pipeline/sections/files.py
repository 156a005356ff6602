"""Settings of the sources that read files and data sets of others."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import Field, field_validator

from pipeline.sections.base import Section

FromColumn = Literal["name", "url", "licence", "group", "section", "duplicates"]


class FileSettings(Section):
    """How files are read, and what one of them may cost."""

    encoding: str = Field("", description="of text files; empty: found out, UTF-8 first")
    columns: dict[FromColumn, str] = Field(
        default_factory=dict, description="other fields of a document, by column of a table"
    )
    max_document_mb: float = Field(
        20.0, gt=0, le=200, description="largest text file, page or row of a table, unpacked"
    )
    max_file_gb: float = Field(100.0, gt=0, description="largest file, as it is stored")
    seconds: float = Field(
        10.0, gt=0, le=600, description="longest extraction of an HTML page; of a PDF 12 times that"
    )
    memory_mb: int = Field(1024, ge=256, description="most memory for extracting one file")

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError as error:
            message = f"there is no encoding {value!r}; e.g. utf-8, cp1252, shift_jis"
            raise ValueError(message) from error
        return value


class HuggingFaceSettings(Section):
    """Which part of a Hugging Face data set is read; `collect.path` names it."""

    subset: str = Field("", description="configuration of the data set; empty: its default")
    split: str = Field("train", min_length=1, description="split of the data set that is read")
    revision: str = Field("", description="commit, tag or branch; empty: the newest")
    max_rows: int = Field(0, ge=0, description="read the first so many rows; 0: all")
