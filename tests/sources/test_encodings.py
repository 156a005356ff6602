from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.encodings import Undecodable, decoded, encoding

TEXTS = {
    "cp1252": "Größere Änderungen gehören gründlich geprüft, bevor man sie überall übernimmt.",
    "cp1251": "Этот текст записан в кодировке, которой пользовались задолго до юникода.",
    "koi8-r": "Этот текст записан в кодировке, которой пользовались задолго до юникода.",
    "shift_jis": "この文章はかつて日本で広く使われていた文字コードで書かれています。",
    "gb18030": "这篇文章是用过去在中国广泛使用的字符编码写成的，现在很少见了。",  # noqa: RUF001 - Chinese
    "cp1253": "Αυτό το κείμενο είναι γραμμένο σε μια παλιά κωδικοποίηση χαρακτήρων.",
    "utf-16": "Größere Änderungen",
    "utf-32": "Größere Änderungen",
    "utf-16-le": "Größere Änderungen",
    "utf-16-be": "Größere Änderungen",
    "utf-8-sig": "Größere Änderungen",
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_encoding_of_a_text_is_found_out(name: str) -> None:
    assert decoded(TEXTS[name].encode(name)) == TEXTS[name]


@pytest.mark.parametrize("text", ["café", "“quoted”", "5 €", "naïve — and más"])
def test_a_few_western_letters_are_read_as_such(text: str) -> None:
    assert decoded(text.encode("cp1252")) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_utf_8_is_never_taken_for_anything_else(text: str) -> None:
    assert decoded(text.encode()) == text.removeprefix("\ufeff")


@given(st.binary())
def test_any_bytes_come_to_text_or_to_a_reason(data: bytes) -> None:
    found = decoded(data)
    assert isinstance(found, str) or found.reason in ("binary", "unknown_encoding")


def test_a_declared_encoding_is_believed_where_the_text_is_not_utf_8() -> None:
    assert decoded("Жи".encode("cp1251"), "windows-1251") == "Жи"
    assert decoded("Жи".encode(), "windows-1251") == "Жи"
    assert decoded("日本".encode("iso-2022-jp"), "iso-2022-jp") == "日本"
    assert decoded("“q”".encode("cp1252"), "iso-8859-1") == "“q”"  # as the web understands it


def test_a_character_cut_in_two_at_the_end_of_a_sample_is_no_error() -> None:
    cut = ("é" * 10).encode()[:-1]
    assert encoding(cut, whole=False) == "utf-8"
    assert isinstance(encoding(cut, whole=True), Undecodable)


def test_damaged_utf_8_is_not_read_as_something_else() -> None:
    found = decoded("größer als größer als größer als".encode() + b" \xff")
    assert found == Undecodable("unknown_encoding", "byte 39 is not UTF-8, though the rest is")
