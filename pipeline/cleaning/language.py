"""Which texts are in none of the languages that are wanted."""

from __future__ import annotations

import re
from typing import Final

from pipeline.errors import ConfigError
from pipeline.languages import known, probabilities
from pipeline.sections import CleanSettings
from pipeline.words import count_words

_CHARACTERS: Final = 2_000  # are enough to tell, and keep a long text from taking long
# Says nothing of the language: links, and what stands for personal data.
_NEUTRAL: Final = re.compile(r"https?://\S+|\[[a-z_]{2,30}\]")


def wrong_language(text: str, settings: CleanSettings) -> str:
    """Refuse texts that are, all but certainly, in none of ``clean.languages``.

    A text is refused when the probabilities of the wanted languages add up to at most
    1 - ``clean.language_confidence``. Texts of fewer than ``clean.language_words`` words are kept.

    Raises:
        ConfigError: for a code that is no language, or none that can be told from others.
    """
    if not settings.languages:
        return ""
    unknown = sorted(set(settings.languages) - known())
    if unknown:
        message = (
            f"clean.languages: {', '.join(unknown)} cannot be told from other languages. "
            f"Write some of: {' '.join(sorted(known()))}"
        )
        raise ConfigError(message)
    plain = _NEUTRAL.sub(" ", text[:_CHARACTERS])
    if count_words(plain) < settings.language_words:
        return ""
    found = probabilities(plain)
    wanted = sum(found[language] for language in settings.languages)
    best = max(found, key=found.__getitem__)
    refused = best not in settings.languages and 1 - wanted >= settings.language_confidence
    return f"language {best}" if refused else ""
