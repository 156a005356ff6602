"""angle-adapt: turn a team's own unlabelled text into a better text-embedding model."""

__version__ = "0.1.0"
