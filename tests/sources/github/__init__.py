"""A server that speaks the part of GitHub's REST and GraphQL APIs that issues are read from.

It runs as a process of its own (``python -m tests.sources.github``) and is told by
``PUT /control/state`` what it holds and how it fails, as JSON::

    {
      "repositories": {"owner/name": {"issues": [...], "timelines": {"3": [...]}, "private": false,
                                      "canonical": {"3": "owner/name#1"}, "moved_to": "new/name"}},
      "tokens": {"good": "repo, read:org"},        # token -> scopes
      "remaining": 1000, "reset_in": 2,            # the primary rate limit
      "faults": [{"path": "/issues", "times": 1, "status": 502, "headers": {}, "body": {}}]
    }

A fault answers the next ``times`` requests whose path holds ``path``, after the first ``after``;
"reset_in" among its fields becomes an x-ratelimit-reset header, "drop" closes the connection, and
"slow" sends the body byte by byte. ``GET /control/asked`` returns what it was asked since the state
was set, with the bytes of each body sent.

Pages are followed by cursors (``after=``) as GitHub's are, so a client that counts pages itself is
refused with 422.
"""
