"""The endpoint for the tests of chat models."""

from __future__ import annotations

from tests.endpoint.fixtures import endpoint, endpoint_process

__all__ = ["endpoint", "endpoint_process"]
