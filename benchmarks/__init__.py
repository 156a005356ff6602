"""Measurements behind the claims of this project: one file a claim, named after its stage.

Files that begin with an underscore are what the measurements share.
"""
