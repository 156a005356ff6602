"""A template around texts, and the token ids of both. Needs no torch.

The template is wrapped around the *cut* text, so no token of the template is ever cut: with
last-token pooling the template's end is where the vector is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ENDINGS: Final = ("0", "1 2 3 4", "e")  # texts that share no token at their ends


class Template:
    """The tokens of texts in a template; a row has at most ``max_length + overhead`` of them.

    ``overhead`` counts the tokens of the template and those that the tokenizer adds by itself,
    such as [CLS].
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, max_length: int) -> None:
        self._tokenizer, self.max_length = tokenizer, max_length
        self._before, _, self._after = template.partition("{text}")
        empty, *others = self._rows(["", *_ENDINGS])
        self.overhead = len(empty)
        self._end = _common_end(others)

    def ids(self, texts: Sequence[str], pad_id: int) -> list[list[int]]:
        """Return the token ids of each text in the template.

        Of a text that is too long the first tokens in its template are kept, and the template's
        end stands over the last of them, as sentence-transformers does it: tokens are cut, not
        text. An empty text leaves the template alone; where that is empty too, and the tokenizer
        adds nothing, the row is one padding token: every text has a vector, and that of the empty
        text is the same everywhere.
        """
        # A lone surrogate, which no tokenizer takes, becomes a question mark.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        rows = self._rows(valid) if valid else []
        limit = self.max_length + self.overhead
        kept = limit - len(self._end)
        return [(row if len(row) <= limit else row[:kept] + self._end) or [pad_id] for row in rows]

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        wrapped = [self._before + text + self._after for text in texts]
        found = self._tokenizer(
            wrapped, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )
        rows: list[list[int]] = found["input_ids"]
        return rows


def _common_end(rows: list[list[int]]) -> list[int]:
    """Return the longest end of all: the tokens after any text, whatever it ends with."""
    columns = zip(*(reversed(row) for row in rows), strict=False)
    return [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, columns)][::-1]
