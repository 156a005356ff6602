"""E-mail addresses and telephone numbers, in the forms that people write them in.

Repetitions are bounded, so that the time is linear in the length of a text.
"""

from __future__ import annotations

import re
from typing import Final

EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
# A "+", then 8 to 15 digits with the usual separators.
INTERNATIONAL: Final = re.compile(r"(?<![\w+\]])\+[1-9](?:[ ().-]{0,2}\d){7,14}(?![\w-])")
# (212) 555-0143, 212-555-0143, 1-212-555-0143
NORTH_AMERICA: Final = re.compile(
    r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}(?![\w-]|\.\d)"
)
FRANCE: Final = re.compile(r"(?<![\w.,+-])0[1-9](?:[ .]\d\d){4}(?![\w-]|[ .,]\d)")
# 020 7946 0958, 01632 960983
BRITAIN: Final = re.compile(
    r"(?<![\w.,+-])(?:0[1237]\d{1,3} \d{3,4} \d{3,4}|01\d{3} \d{6})(?![\w-]|[ .,]\d)"
)
# Any digits after a word that says what they are.
ANNOUNCED: Final = re.compile(
    r"\b(?:tel|telephone|telefon|phone|mobile|mobil|handy|fax|t[ée]l[ée]phone|tél)"
    r"(?: (?:number|no|nr|#))?[.:]{1,2} {0,2}(?P<number>\(?\d(?:[ ()./-]{0,3}\d){5,14})(?!\w)",
    re.IGNORECASE,
)
