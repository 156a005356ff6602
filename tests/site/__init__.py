"""A web site for tests, served by a process of its own on the loopback interface.

``python -m tests.site --pages 50`` prints a line of JSON with its port. What it holds is in
`tests.site.pages`, how it misbehaves in `tests.site.traps`. It remembers every request with its
time, the answer's status and the bytes of body that were sent: ``GET /-/ledger``. What it does next
can be changed while it runs: ``GET /-/set?robots=503``.
"""
