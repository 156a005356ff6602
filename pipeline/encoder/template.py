"""A template around texts, and the token ids of both. Needs no torch.

The template is wrapped around the *cut* text, so no token of the template is ever cut: with
last-token pooling the template's end is where the vector is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Template:
    """The tokens of texts in a template; a row has at most ``max_length + overhead`` of them.

    ``overhead`` counts the tokens of the template and those that the tokenizer adds by itself,
    such as [CLS].
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, max_length: int) -> None:
        self._tokenizer, self.max_length = tokenizer, max_length
        self._before, _, self._after = template.partition("{text}")
        (empty,) = self._rows([""])
        self.overhead = len(empty)

    def ids(self, texts: Sequence[str], pad_id: int) -> list[list[int]]:
        """Return the token ids of each text in the template.

        A text that is too long loses its end. An empty one leaves the template alone; where that
        is empty too, and the tokenizer adds nothing, the row is one padding token: every text has
        a vector, and that of the empty text is the same everywhere.
        """
        # A lone surrogate, which no tokenizer takes, becomes a question mark.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        rows = self._rows(valid) if valid else []
        limit = self.max_length + self.overhead
        return [
            (row if len(row) <= limit else self._cut(text, limit)) or [pad_id]
            for text, row in zip(valid, rows, strict=True)
        ]

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        wrapped = [self._before + text + self._after for text in texts]
        found = self._tokenizer(
            wrapped, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )
        rows: list[list[int]] = found["input_ids"]
        return rows

    def _cut(self, text: str, limit: int) -> list[int]:
        """Return the ids of the longest beginning of ``text`` that fits, by whole tokens."""
        alone = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ends = [end for _, end in alone["offset_mapping"]]
        length = min(self.max_length, len(ends))
        while True:
            (row,) = self._rows([text[: ends[length - 1]] if length > 0 else ""])
            if len(row) <= limit or length <= 0:
                return row
            length -= len(row) - limit  # beside other characters, the same text may be more tokens
