"""What must not be lost: computed values, and requests to endpoints that bill.

`values` keeps results that could be computed again, one row each. `requests` keeps every question
put to an endpoint through all its states, with the raw answer, and what each job may still spend;
`database` and `postgres` are the two places it can live in, `writer` the one thread that writes.
"""

from pipeline.journal.values import Journal

__all__ = ["Journal"]
