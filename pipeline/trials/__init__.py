"""Runs that differ in chosen settings: which there are, what they cost, and what they show.

The measure is Spearman's ρ on the gold pairs: on its dev pairs to choose by, on its test pairs to
report.
"""
