"""What GitHub's refusals mean: how long to wait, or why a repository gives nothing.

After "Rate limits for the REST API" and "Best practices for using the REST API" in GitHub's
documentation (https://docs.github.com/rest). A private repository that a token may not read is
answered like one that does not exist, so the two are one reason here.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

UNKNOWN_PAUSE: Final = 60.0  # seconds, after a secondary limit that names none; doubles
LONGEST_UNKNOWN_PAUSE: Final = 900.0
_SHOWN: Final = 200  # characters of a message that is not ours


class Answer(NamedTuple):
    """What came back; ``value`` is the parsed body, None where there is none to use."""

    status: int
    headers: Mapping[str, str]
    value: Any = None
    next: str = ""

    @property
    def message(self) -> str:
        """What GitHub says of an error, shortened to a line."""
        said = self.value.get("message", "") if isinstance(self.value, dict) else ""
        return " ".join(str(said).split())[:_SHOWN]


class Trouble(Exception):  # noqa: N818 - reads as what it is
    """Why something could not be fetched; ``everywhere``: nothing else can be fetched either."""

    def __init__(self, reason: str, detail: str, *, everywhere: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.everywhere = reason, detail, everywhere


def pause(answer: Answer, tries: int, now: float) -> float | None:
    """Return the seconds to wait before asking again, None when the refusal is no rate limit.

    Args:
        answer: a refusal.
        tries: how often a rate limit was met in a row, from 1.
        now: seconds since the epoch, used where the answer carries no date of its own.
    """
    if answer.status not in (403, 429):
        return None
    if (named := _seconds(answer.headers.get("retry-after"))) is not None:
        return max(1.0, named)
    if answer.headers.get("x-ratelimit-remaining") == "0":
        return until_reset(answer, now)
    if answer.status == 429 or "rate limit" in answer.message.lower():
        return min(LONGEST_UNKNOWN_PAUSE, UNKNOWN_PAUSE * 2.0 ** (tries - 1))
    return None


def until_reset(answer: Answer, now: float) -> float:
    """Return the seconds until the primary limit ends, by GitHub's clock where it tells it."""
    reset = _seconds(answer.headers.get("x-ratelimit-reset"))
    if reset is None:
        return UNKNOWN_PAUSE
    return max(1.0, reset - _clock(answer.headers, now) + 1.0)


def _clock(headers: Mapping[str, str], now: float) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return now


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def refusal(answer: Answer, token: str) -> Trouble:
    """Return what a final refusal means; ``token`` is the name of the variable, "" for none."""
    said = f" ({answer.message})" if answer.message else ""
    if answer.status == 401:
        detail = f"GitHub does not know the token in {token or 'the request'}{said}: renew it"
        return Trouble("bad_token", detail, everywhere=True)
    if answer.status == 403:
        return Trouble("token_lacks_scope", _lacking(answer, token) + said)
    if answer.status in (404, 410, 451):
        reason, detail = _ABSENT[answer.status]
        hint = _hint(answer, token) if answer.status == 404 else ""
        return Trouble(reason, detail + hint)
    return Trouble("refused", f"GitHub answers with status {answer.status}{said}")


_ABSENT: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not_found_or_private", "there is no such repository, or it is private and"),
    410: ("issues_disabled", "the repository has its issues turned off, or they were deleted"),
    451: ("unavailable", "GitHub withholds the repository for legal reasons"),
}


def _hint(answer: Answer, token: str) -> str:
    if not token:
        return " no token was given: name its variable in collect.github.token"
    scopes = answer.headers.get("x-oauth-scopes")
    if scopes is None:
        return f" the token in {token} may not read it"
    lacking = "" if "repo" in scopes.split(", ") else "; private repositories need repo"
    return f" the token in {token} may not read it (its scopes: {scopes or 'none'}{lacking})"


def _lacking(answer: Answer, token: str) -> str:
    if "x-github-sso" in answer.headers:
        return f"the token in {token} is not authorised for the organisation's single sign-on"
    needed = answer.headers.get("x-accepted-oauth-scopes") or answer.headers.get(
        "x-accepted-github-permissions"
    )
    wanted = f" (needed: {needed})" if needed else ""
    who = f"the token in {token} may" if token else "without a token one may"
    return f"{who} not read the issues{wanted}: give it read access to them"
