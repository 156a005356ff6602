"""Keys, tokens and passwords: what opens a door, by the forms their issuers give them."""

from __future__ import annotations

import re
from typing import Final

_ISSUED: Final = (
    r"sk-(?:ant-|proj-|svcacct-|admin-|or-)?[\w-]{20,300}",  # OpenAI, Anthropic, OpenRouter
    r"gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}",
    r"gl(?:pat|ptt|rt|dt)-[\w-]{20,300}",  # GitLab
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z2-7]{16}",  # AWS
    r"xox[abeoprs]-[\w-]{10,300}|xapp-\d-[\w-]{10,300}",  # Slack
    r"AIza[\w-]{35}|ya29\.[\w-]{20,300}|GOCSPX-[\w-]{28}",  # Google
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9]{24,255}",  # Stripe
    r"hf_[A-Za-z0-9]{30,60}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,300}",
    r"SG\.[\w-]{16,32}\.[\w-]{32,64}",  # SendGrid
    r"eyJ[\w-]{8,4000}\.eyJ[\w-]{8,4000}\.[\w-]{16,1000}",  # JSON Web Token
)
TOKEN: Final = re.compile(rf"(?<![\w-])(?:{'|'.join(_ISSUED)})(?![\w-])")
BEARER: Final = re.compile(
    r"(?<=\bBearer )(?=[A-Za-z_.~+/-]{0,64}\d)[\w.~+/-]{16,4000}={0,2}|"
    r"(?<=Authorization: Basic )[A-Za-z0-9+/]{8,4000}={0,2}",
)
# Without its end, only what can be nothing but a key goes: lines of Base64 of full length.
PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[\w+/=:,.;()\s]|-(?!-))*+-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|"
    r"(?:\s{1,4}[A-Za-z0-9+/=]{40,100})*+)"
)
# What stands between the scheme and the host of a URL, when a password is in it.
IN_URL: Final = re.compile(r"(?<=://)[^\s/:@\[\]]{0,64}:(?P<value>[^\s/:@\[\]]{1,128})(?=@[\w.-])")
# Not a call: password=read(). Not a variable: password=$SECRET.
ASSIGNED: Final = re.compile(
    r"""(?<![^\W_])(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?key)?|api[_-]?key|private[_-]?key|"""
    r"""(?:access|auth|refresh|client)[_-]?(?:token|key|secret))["']?\s{0,2}[=:]\s{0,2}"""
    r"""(?P<quote>["']?)(?P<value>(?![$%])[^\s"'`<>()\[\]{},;&|\\]{6,300}+)(?!\()""",
    re.IGNORECASE,
)
_SPECIAL: Final = frozenset("!@#%^*~$?+")
# Values that only stand for one begin or end so.
_PLACEHOLDERS: Final = ("your", "my", "example", "placeholder", "changeme", "redacted")
_NAMES: Final = ("password", "passwd", "pass", "pwd", "secret", "key", "token")


def is_password(match: re.Match[str]) -> bool:
    """Tell whether what stands before the host of a URL is a password, not the word for one."""
    plain = _plain(match["value"])
    return not plain.endswith((*_NAMES, "port")) and not plain.startswith(_PLACEHOLDERS)


def is_secret(match: re.Match[str]) -> bool:
    """Tell whether what a name like "password" is set to can be one, and is no word of prose.

    It has to mix letters with digits or special characters, or to be quoted; and it is not what
    stands for one ("your-key-here", "********").
    """
    value = match["value"].rstrip(".:")
    plain = _plain(value)
    if len(value) < 6 or not plain or plain.startswith(_PLACEHOLDERS):
        return False
    letters = any(map(str.isalpha, value))
    if letters and (any(map(str.isdigit, value)) or not _SPECIAL.isdisjoint(value)):
        return True
    quoted = bool(match["quote"]) and match.string[match.end() : match.end() + 1] == match["quote"]
    return quoted and not plain.endswith(_NAMES)


def _plain(value: str) -> str:
    return "".join(filter(str.isalnum, value.lower()))
