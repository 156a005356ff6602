"""Whether a model directory gives the vectors it was trained to give: checks, each with a remedy.

`pipeline.diagnosis.examination` holds the table of checks.
"""
