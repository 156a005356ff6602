"""The record of one measurement, as it is stored in JSON and shown in the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, Self

from pydantic import FiniteFloat, ValidationError, model_validator

from pipeline.config import CHECKOUT
from pipeline.disk import write_atomically
from pipeline.errors import InputError
from pipeline.records import Record

RESULTS: Final = CHECKOUT / "benchmarks" / "results"

Comparison = Literal["<=", ">="]


class Figure(Record):
    """One number; without a target it always holds, and its comparison says which way is better."""

    name: str
    value: FiniteFloat
    unit: str
    target: FiniteFloat | None
    comparison: Comparison
    holds: bool

    @classmethod
    def of(
        cls, name: str, value: float, unit: str, comparison: Comparison = "<=",
        target: float | None = None,
    ) -> Self:  # fmt: skip
        """Return a figure that is held against its target."""
        holds = _holds(value, comparison, target)
        return cls(
            name=name, value=value, unit=unit, target=target, comparison=comparison, holds=holds
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.holds != _holds(self.value, self.comparison, self.target):
            message = f"{self.name}: holds does not follow from the value and the target"
            raise ValueError(message)
        return self


class Result(Record):
    """Everything needed to believe or repeat a measurement."""

    name: str
    quick: bool
    figures: tuple[Figure, ...]
    versions: dict[str, str]
    hardware: dict[str, str | int | float]
    seed: int
    date: str


class Measurement(NamedTuple):
    """What a benchmark returns."""

    figures: tuple[Figure, ...]
    seed: int


class Measure(Protocol):
    """A benchmark: runs the real thing, or with ``quick`` a smaller instance of it."""

    def __call__(self, *, quick: bool) -> Measurement:
        """Measure."""


class Benchmark(NamedTuple):
    """A claim, and the function that puts it to the test."""

    claim: str
    measure: Measure


def store(result: Result, path: Path) -> None:
    """Write ``result`` as JSON."""
    write_atomically(path, result.model_dump_json(indent=2) + "\n")


def load(path: Path) -> Result:
    """Return a stored result.

    Raises:
        InputError: when the file is not one.
    """
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        message = f"{path} is not a result of `python -m benchmarks NAME --json FILE`: {error}"
        raise InputError(message) from error


def _holds(value: float, comparison: Comparison, target: float | None) -> bool:
    if target is None:
        return True
    return value <= target if comparison == "<=" else value >= target
