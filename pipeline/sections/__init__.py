"""The settings of each stage, with types, ranges and defaults. `pipeline.config` loads them."""

from pipeline.sections.base import DomainName, EndpointName, Section
from pipeline.sections.community import GitHubSettings, StackExchangeSettings
from pipeline.sections.corpus import CleanSettings, CollectSettings, MineSettings
from pipeline.sections.files import FileSettings, HuggingFaceSettings
from pipeline.sections.labels import ChatSettings, CurateSettings, GenerateSettings, LabelSettings
from pipeline.sections.leakage import LeakageSettings
from pipeline.sections.model import (
    EncoderSettings,
    EvaluateSettings,
    ScheduleSettings,
    SetSettings,
    TrainSettings,
)
from pipeline.sections.web import WebSettings

__all__ = [
    "ChatSettings",
    "CleanSettings",
    "CollectSettings",
    "CurateSettings",
    "DomainName",
    "EncoderSettings",
    "EndpointName",
    "EvaluateSettings",
    "FileSettings",
    "GenerateSettings",
    "GitHubSettings",
    "HuggingFaceSettings",
    "LabelSettings",
    "LeakageSettings",
    "MineSettings",
    "ScheduleSettings",
    "Section",
    "SetSettings",
    "StackExchangeSettings",
    "TrainSettings",
    "WebSettings",
]
