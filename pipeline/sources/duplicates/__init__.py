"""A gold set made of what a source calls duplicates."""

from pipeline.sources.duplicates.building import GoldSet, gold_set
from pipeline.sources.duplicates.choices import Choices

__all__ = ["Choices", "GoldSet", "gold_set"]
