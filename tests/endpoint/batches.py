"""The Batch API: lines of a file are answered when the batch has been polled often enough.

A line that meets a fault with an error status goes to the error file, as do lines that were not
reached; neither is billed unless the fault is.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tests.endpoint.files import Files
from tests.endpoint.model import share
from tests.endpoint.script import BatchPlan
from tests.endpoint.wire import Reply, error_reply, json_reply

Ask = Callable[[Any, str], Reply]  # a body and its custom_id to the reply
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_EXPIRED: Final = "This request could not be executed before the completion window expired."
_CANCELLED: Final = "This request was not executed because the batch was cancelled."


class Line(NamedTuple):
    """A line of the input."""

    custom_id: str
    body: Any


class Results(NamedTuple):
    """Lines of the two files that a batch leaves."""

    output: list[dict[str, Any]]
    error: list[dict[str, Any]]


class Batches:
    """Batches by their id, in memory."""

    def __init__(self, files: Files, ask: Ask) -> None:
        self._files = files
        self._ask = ask
        self._batches: dict[str, dict[str, Any]] = {}
        self._lines: dict[str, list[Line]] = {}
        self._polls: Counter[str] = Counter()
        self._unreached: set[str] = set()  # cancelled before the first line was asked

    def create(self, body: Any, plan: BatchPlan) -> Reply:
        """Answer ``POST /v1/batches``."""
        source = body.get("input_file_id") if isinstance(body, Mapping) else None
        content = self._files.content(str(source))
        if content is None:
            return error_reply(400, f"Invalid 'input_file_id': no such File object: {source}")
        lines, errors = _read(content)
        name = f"batch_{len(self._batches) + 1:06d}"
        now = int(time.time())
        status = "failed" if errors or plan.end == "failed" else "validating"
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        self._lines[name] = lines
        self._batches[name] = {
            "id": name, "object": "batch", "endpoint": body.get("endpoint"), "errors": None,
            "input_file_id": source, "completion_window": body.get("completion_window", "24h"),
            "status": "validating", "output_file_id": None, "error_file_id": None,
            "created_at": now, "expires_at": now + 86_400, "metadata": body.get("metadata"),
            "request_counts": counts,
        }  # fmt: skip
        reply = json_reply(self._batches[name])
        if status == "failed":
            errors = errors or [{"code": "scripted", "line": None, "message": "it was to fail"}]
            self._batches[name]["errors"] = {"object": "list", "data": errors}
        return reply

    def poll(self, name: str, plan: BatchPlan) -> Reply:
        """Answer ``GET /v1/batches/{id}``; each poll brings the batch on."""
        batch = self._batches.get(name)
        if batch is None:
            return error_reply(404, f"No batch found with id '{name}'.")
        if batch["status"] not in _OVER:
            self._polls[name] += 1
            self._advance(batch, plan)
        return json_reply(batch)

    def cancel(self, name: str) -> Reply:
        """Answer ``POST /v1/batches/{id}/cancel``; the next poll finds it cancelled."""
        batch = self._batches.get(name)
        if batch is None:
            return error_reply(404, f"No batch found with id '{name}'.")
        if batch["status"] in _OVER:
            return error_reply(409, f"Cannot cancel a batch with status '{batch['status']}'.")
        if batch["status"] == "validating":
            self._unreached.add(name)
        batch["status"] = "cancelling"
        return json_reply(batch)

    def listed(self, query: Mapping[str, str]) -> Reply:
        """Answer ``GET /v1/batches?limit&after``, the newest first."""
        newest = list(reversed(self._batches.values()))
        names = [batch["id"] for batch in newest]
        after = query.get("after")
        start = names.index(after) + 1 if after in names else 0
        page = newest[start : start + int(query.get("limit", "20"))]
        return json_reply({
            "object": "list", "data": page, "has_more": start + len(page) < len(newest),
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        })  # fmt: skip

    def _advance(self, batch: dict[str, Any], plan: BatchPlan) -> None:
        polls = self._polls[batch["id"]]
        if batch["status"] == "cancelling":
            self._end(batch, plan, "cancelled")
        elif polls <= plan.validating:
            batch["status"] = "validating"
        elif batch["errors"]:
            batch["status"] = "failed"
        elif polls <= plan.validating + plan.in_progress:
            batch["status"] = "in_progress"
        elif polls <= plan.validating + plan.in_progress + plan.finalizing:
            batch["status"] = "finalizing"
        else:
            self._end(batch, plan, plan.end)

    def _end(self, batch: dict[str, Any], plan: BatchPlan, status: str) -> None:
        lines = self._lines[batch["id"]]
        reached = len(lines) if status == "completed" else round(plan.answered * len(lines))
        reached = 0 if batch["id"] in self._unreached else reached
        results = Results([], [])
        for place, line in enumerate(lines):
            _sort(line, self._ask(line.body, line.custom_id) if place < reached else None,
                  results, status)  # fmt: skip
        batch["request_counts"] |= {
            "completed": len(results.output),
            "failed": len(results.error),
        }
        _spoil(results, plan, batch["id"])
        for name, rows in zip(("output_file_id", "error_file_id"), results, strict=True):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            if name == "output_file_id" and plan.broken_line:
                text += '{"id": "batch_req_broken", "custom_id": "'
            if text:
                batch[name] = self._files.add(text.encode(), f"{name}.jsonl", "batch_output")["id"]
        batch["status"] = status
        batch[f"{status}_at"] = int(time.time())


def _read(content: bytes) -> tuple[list[Line], list[dict[str, Any]]]:
    """Return the lines of an input file and what is wrong with it."""
    lines: list[Line] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, row in enumerate(content.splitlines(), 1):
        try:
            value = json.loads(row)
            line = Line(value["custom_id"], value["body"])
        except (ValueError, TypeError, KeyError):
            errors.append({"code": "invalid_json_line", "line": number, "message": "not a request"})
            continue
        if line.custom_id in seen:
            message = f"the custom_id {line.custom_id!r} is used more than once"
            errors.append({"code": "duplicate_custom_id", "line": number, "message": message})
        seen.add(line.custom_id)
        lines.append(line)
    if not lines:
        errors.append({"code": "empty_file", "line": None, "message": "the file has no requests"})
    return lines, errors


def _sort(line: Line, reply: Reply | None, results: Results, status: str) -> None:
    """Put a line's result into one of the two files."""
    row: dict[str, Any] = {"id": f"batch_req_{line.custom_id}", "custom_id": line.custom_id}
    if reply is None:
        message = _EXPIRED if status == "expired" else _CANCELLED
        row |= {"response": None, "error": {"code": f"batch_{status}", "message": message}}
        results.error.append(row)
        return
    try:
        body = json.loads(reply.body)
    except ValueError:
        body = reply.body.decode("utf-8", "replace")
    response = {"status_code": reply.status, "request_id": row["id"], "body": body}
    row |= {"response": response, "error": None}
    (results.output if reply.status == 200 else results.error).append(row)


def _spoil(results: Results, plan: BatchPlan, seed: str) -> None:
    """Shuffle, repeat, drop and invent rows, as the plan says."""
    for rows in results:
        rows[:] = [row for row in rows if row["custom_id"] not in plan.leave_out]
        rows += [row for row in rows if row["custom_id"] in plan.duplicate]
    for number in range(plan.unknown if results.output else 0):
        name = f"nobody-{number}"
        results.output.append(results.output[0] | {"id": f"batch_req_{name}", "custom_id": name})
    if plan.shuffle:
        for rows in results:
            rows.sort(key=lambda row: share(seed, row["id"]))
