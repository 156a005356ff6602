"""Which language a text is in; needs no network and always gives the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier


@lru_cache(maxsize=4_096)
def probabilities(text: str) -> Mapping[str, float]:
    """Return how likely ``text`` is in each language, by ISO 639 code; they add up to 1."""
    return {language: float(chance) for language, chance in _identifier().rank(text)}


@cache
def known() -> frozenset[str]:
    """Return the codes of the languages that can be told apart."""
    return frozenset(str(label) for label in _identifier().nb_classes)


@cache
def _identifier() -> LanguageIdentifier:
    # Takes half a second, and most runs need it not.
    from py3langid import langid  # noqa: PLC0415

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
