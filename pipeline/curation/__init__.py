"""Opinions to labels: calibrate, combine, check against gold, refuse what may not be trained on."""
