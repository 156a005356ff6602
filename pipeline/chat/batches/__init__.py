"""Asking through the Batch API: at half the price, with the answers within a day or so.

A batch outlives the process that made it: a run that is interrupted, killed or comes days later
finds its batches in the journal, takes their answers and asks only for what is missing.
"""
