"""GitHub's API and what came from it: asking, keeping, and reading issues as text."""
