"""Uploaded and written files, and the form in which they are uploaded."""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

from tests.endpoint.wire import Reply, error_reply, json_reply


class Stored(NamedTuple):
    """A file and what the API tells about it."""

    content: bytes
    about: dict[str, Any]


class Files:
    """Files by their id, in memory."""

    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}

    def add(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        """Keep a file; return what the API tells about it."""
        name = f"file-{len(self._stored) + 1:06d}"
        about = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        self._stored[name] = Stored(content, about)
        return about

    def content(self, name: str) -> bytes | None:
        """Return the content of a file, or None when there is none of this id."""
        stored = self._stored.get(name)
        return None if stored is None else stored.content

    def upload(self, body: bytes, content_type: str) -> Reply:
        """Answer ``POST /v1/files``."""
        parts = form_parts(body, content_type)
        if "file" not in parts or "purpose" not in parts:
            return error_reply(400, "'file' and 'purpose' are required")
        name, content = parts["file"]
        return json_reply(self.add(content, name, parts["purpose"][1].decode()))

    def fetch(self, path: str) -> Reply:
        """Answer ``GET /v1/files/{id}`` and ``GET /v1/files/{id}/content``."""
        name = path.removeprefix("/v1/files/").removesuffix("/content")
        stored = self._stored.get(name)
        if stored is None:
            return error_reply(404, f"No such File object: {name}")
        if path.endswith("/content"):
            return Reply(200, stored.content, {"content-type": "application/octet-stream"})
        return json_reply(stored.about)


def form_parts(body: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """Return the file name and the content of each part of a multipart form, by its name."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    if found is None:
        return {}
    parts: dict[str, tuple[str, bytes]] = {}
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', text)
        file = re.search(r'filename="([^"]*)"', text)
        if name is not None:
            parts[name[1]] = (file[1] if file else "", content.removesuffix(b"\r\n"))
    return parts
