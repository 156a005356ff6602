"""A model in the formats of other programs, each measured against the model it was made of.

`pipeline.export.formats.table` has them all, `pipeline.export.formats.writing` makes one.
"""
