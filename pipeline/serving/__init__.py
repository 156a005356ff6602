"""Vectors over HTTP: an endpoint that clients of OpenAI's embeddings can use as it is."""
