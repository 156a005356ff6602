"""What asking has come to so far, for people who watch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.chat.prices import dollars
from pipeline.journal.entries import Bill


@dataclass
class Tally:
    """Counts of one round of asking."""

    states: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    usd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def ended(self, state: str) -> None:
        """Count a question that ended in ``state``."""
        self.states[state] += 1

    def paid(self, bill: Bill) -> None:
        """Count what an answer cost."""
        self.usd += bill.paid.usd if bill.paid else 0
        self.prompt_tokens += bill.prompt_tokens
        self.completion_tokens += bill.completion_tokens

    def figures(self, total: int) -> dict[str, str]:
        """Return what is shown beside a progress bar over ``total`` questions."""
        done = sum(self.states.values())
        shown = {
            "ok": f"{self.states['accepted']:,}",
            "no answer": f"{done - self.states['accepted']:,}",
            "tried again": f"{self.retried:,}",
            "tokens": f"{self.prompt_tokens + self.completion_tokens:,}",
        }
        if self.usd and done:
            projected = dollars(self.usd) * total / done
            shown["cost"] = f"${dollars(self.usd):.2f} of about ${projected:.2f}"
        return shown
