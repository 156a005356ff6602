"""The flow as a deployment's worker loads it, over the small stages."""

import tiny
from flows.adapt import adapt

tiny.install()

__all__ = ["adapt"]
