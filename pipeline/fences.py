"""What keeps a text apart from instructions: the fence around it, and what is taken out of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import count
from typing import Final

from pipeline.records import digest_of, normalised


def fence(identity: str, texts: Mapping[str, str]) -> str:
    """Return 8 hexadecimal digits that depend on the prompt and all texts; no text contains them.

    Who writes a text cannot put its fence into it: the digits would be others. In what case or
    width the digits are written makes no difference.
    """
    named = [part for name in sorted(texts) for part in (name, texts[name])]
    flat = [normalised(text) for text in texts.values()]
    candidates = (digest_of(identity, str(attempt), *named)[:8] for attempt in count())
    return next(digits for digits in candidates if not any(digits in text for text in flat))


_BREAK: Final = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Invisible without being format characters: joiners of graphemes, fillers, variation selectors.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_OPEN, _CLOSE = "<＜‹〈⟨⟪«≪", ">＞›〉⟩⟫»≫"  # noqa: RUF001 - what can pass for a bracket
_ROUND: Final = str.maketrans(dict.fromkeys(_OPEN + "[", "(") | dict.fromkeys(_CLOSE + "]", ")"))
# What a model could take for a fence, for the start of a message or for its own special tokens.
_MARK: Final = re.compile(
    rf"[{_OPEN}]{{1,3}}\s{{0,2}}[/\\]?\s{{0,2}}(?:"
    r"(?:text|query|passage|system|sys|user|assistant|human|developer|tool|model|instructions?"
    rf"|think|start_of_turn|end_of_turn)(?![a-z])[^{_OPEN}{_CLOSE}\n]{{0,40}}"
    r"|[a-z0-9]{1,16}[-_ :=]{1,3}[0-9a-f]{8}"
    rf"|[|｜][^{_OPEN}{_CLOSE}\n]{{0,40}}[|｜]|s|bos|eos|pad|unk"  # noqa: RUF001 - DeepSeek's
    rf")\s{{0,2}}[{_CLOSE}]{{1,3}}"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]",
    re.IGNORECASE,
)


def inert(text: str) -> str:
    """Return ``text`` as it goes into a message; applying it twice changes nothing more.

    Left out are characters that are not seen: controls, Unicode's format characters (zero-width
    ones, those that set the writing direction), variation selectors. Lines end in one way. What
    looks like a fence, a role or a special token of a chat template gets round brackets.
    """
    text = _BREAK.sub("\n", text)
    unseen = {character for character in set(text) if not character.isprintable()} - {"\n", "\t"}
    gone = [ord(one) for one in unseen if unicodedata.category(one) in ("Cc", "Cf", "Cs")]
    text, before = _UNSEEN.sub("", text.translate(dict.fromkeys(gone))), ""
    while text != before:  # taking away a mark can uncover the one around it
        text, before = _MARK.sub(lambda match: match[0].translate(_ROUND), text), text
    return text
