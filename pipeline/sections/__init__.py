"""The settings of each stage, with types, ranges and defaults. `pipeline.config` loads them."""

from pipeline.sections.base import DomainName, EndpointName, Section
from pipeline.sections.corpus import CleanSettings, CollectSettings, MineSettings
from pipeline.sections.labels import ChatSettings, CurateSettings, GenerateSettings, LabelSettings
from pipeline.sections.model import (
    EncoderSettings,
    EvaluateSettings,
    ScheduleSettings,
    TrainSettings,
)

__all__ = [
    "ChatSettings",
    "CleanSettings",
    "CollectSettings",
    "CurateSettings",
    "DomainName",
    "EncoderSettings",
    "EndpointName",
    "EvaluateSettings",
    "GenerateSettings",
    "LabelSettings",
    "MineSettings",
    "ScheduleSettings",
    "Section",
    "TrainSettings",
]
