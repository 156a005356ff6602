"""Candidate pairs: which texts are worth showing to an annotator together."""
