"""Texts that break careless code: long, empty, invisible, or not even Unicode."""

from __future__ import annotations

from typing import Final

from pipeline.encoder import probe

ODD: Final[dict[str, str]] = {
    "empty": "",
    "a space": " ",
    "white space": " \t\r\n\u00a0\u2003\u3000",
    "a lone surrogate": "half \ud83d of a character",
    "emoji": "🦊🏽‍🚀 👩‍👩‍👧‍👦 🇦🇶",
    "null": "before\x00after",
    "control characters": "\x01\x02\x1b[31m\x7f\u0085",
    "invisible characters": "\u200b\u200d\ufeff\u00ad\u2060",
    "stacked accents": "z" + "\u0301\u0323\u0337" * 30,
    "right to left": "\u202e\u0633\u0644\u0627\u0645, \u05e9\u05dc\u05d5\u05dd\u202c",
    "quotation marks": '"""\'\'\'"',
    "special tokens": "<s></s><|im_start|><|im_end|><|endoftext|>[CLS][SEP][MASK][PAD]",
    "a template's place": "{text} {0} %s",
    "one long word": "ab" * 3_000,
    "private use": "\ue000\U000f0000\U0010fffd",
}

# Far longer than any text that is kept whole, and ending where a template may begin.
LONG: Final[dict[str, str]] = {
    "words": "word " * 4_000,
    "punctuation": '."' * 4_000,
    "emoji": "🦊" * 2_000,
    "accents": "e\u0301" * 3_000,
    "line breaks": "\r\n" * 4_000,
}

# As many as make the encoder run the template's beginning apart.
MANY: Final = (*probe.TEXTS, *(f"Sentence {n} of a set, about {n * 37} things." for n in range(31)))
