"""Annotators: opinions of how similar the two texts of a pair are."""
