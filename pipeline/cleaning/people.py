"""Names of people and the numbers of their papers, found by Presidio.

Presidio (https://microsoft.github.io/presidio) needs a language model of spaCy, which is installed
like a package and never fetched at run time.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from pipeline.errors import ResourceError
from pipeline.sections import CleanSettings

_LEAST: Final = 0.5  # of Presidio's score in [0, 1]: a number alone scores below, in context above
_INSTALL: Final = "pip install 'angle-adapt[presidio]'"


def people(settings: CleanSettings) -> Callable[[str], tuple[str, Counter[str]]]:
    """Return what masks ``clean.presidio_entities`` in a text and counts them by kind.

    Raises:
        ResourceError: when Presidio or ``clean.presidio_model`` is not installed; says how to.
    """
    language = settings.presidio_model[:2]
    engine = _engine(settings.presidio_model, language)
    wanted = list(settings.presidio_entities)

    def hide(text: str) -> tuple[str, Counter[str]]:
        found = engine.analyze(
            text=text, language=language, entities=wanted, score_threshold=_LEAST
        )
        counts: Counter[str] = Counter()
        end = len(text)
        for entity in sorted(found, key=lambda entity: (-entity.end, entity.start)):
            if entity.end <= end:  # of two that overlap, the one that ends last
                kind = entity.entity_type.lower()
                text = f"{text[: entity.start]}[{kind}]{text[entity.end :]}"
                counts[kind] += 1
                end = entity.start
        return text, counts

    return hide


def _engine(model: str, language: str) -> Any:  # noqa: ANN401 - Presidio is optional
    if importlib.util.find_spec("presidio_analyzer") is None:
        message = f"clean.personal_data: presidio is not installed. Install it with {_INSTALL}"
        raise ResourceError(message)
    if importlib.util.find_spec(model) is None:
        message = (
            f"clean.presidio_model: {model} is not installed. Install it with "
            f"python -m spacy download {model}"
        )
        raise ResourceError(message)
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - optional, and takes seconds
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415 - as above

    models = [{"lang_code": language, "model_name": model}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    return AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=[language])
