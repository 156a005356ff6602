from __future__ import annotations

import pytest

from pipeline.cleaning.language import wrong_language
from pipeline.errors import ConfigError
from pipeline.languages import known, probabilities
from pipeline.sections import CleanSettings

ENGLISH = CleanSettings(languages=("en",))
TEXTS = {
    "en": "The connection was closed by the server before all of the data had arrived.",
    "de": "Die Verbindung wurde vom Server geschlossen, bevor alle Daten angekommen waren.",
    "fr": "La connexion a été fermée par le serveur avant que les données ne soient arrivées.",
    "es": "El servidor cerró la conexión antes de que hubieran llegado todos los datos.",
    "ru": "Сервер закрыл соединение раньше, чем пришли все данные от другой стороны.",
    "ja": "すべてのデータが届く前に、サーバーが接続を閉じてしまいました。",
}


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_only_texts_of_the_wanted_languages_pass(language: str) -> None:
    refused = wrong_language(TEXTS[language], ENGLISH)
    assert refused == ("" if language == "en" else f"language {language}")
    assert wrong_language(TEXTS[language], CleanSettings(languages=(language,))) == ""
    assert wrong_language(TEXTS[language], CleanSettings(languages=("en", language))) == ""


def test_any_language_passes_by_default() -> None:
    assert not any(wrong_language(text, CleanSettings()) for text in TEXTS.values())


def test_a_short_text_is_not_judged() -> None:
    assert wrong_language("Daten sind noch nicht angekommen, bitte warten.", ENGLISH) == ""
    strict = CleanSettings(languages=("en",), language_words=4)
    assert wrong_language("Daten sind noch nicht angekommen, bitte warten.", strict)


def test_a_text_that_could_be_in_a_wanted_language_is_kept() -> None:
    text = "Ja det er det samme som i de andre land"  # Danish and Norwegian
    found = probabilities(text)
    best, second = sorted(found, key=found.__getitem__)[-1:-3:-1]
    assert {best, second} <= {"da", "no", "nb"}
    assert wrong_language(text, CleanSettings(languages=(second,))) == ""


def test_links_and_masks_say_nothing_of_the_language() -> None:
    noise = "[email] [phone] https://example.org/the/way/of/the/words/and/all/that/is/in/it " * 9
    assert wrong_language(noise + TEXTS["de"], ENGLISH) == "language de"
    assert wrong_language(noise, ENGLISH) == ""


def test_probabilities_are_of_all_known_languages() -> None:
    found = probabilities(TEXTS["de"])
    assert set(found) == known() >= set(TEXTS)
    assert sum(found.values()) == pytest.approx(1, abs=1e-4)


def test_a_code_that_is_no_known_language_names_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"clean\.languages: xx cannot .* de .* fr "):
        wrong_language("Any text.", CleanSettings(languages=("xx", "en")))
