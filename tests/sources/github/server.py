"""GitHub as far as issues go: routes, pages, ETags, limits, refusals and planned faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

_LIST: Final = re.compile(r"^/repos/(?P<repository>[^/]+/[^/]+)/issues$")
_TIMELINE: Final = re.compile(
    r"^/repos/(?P<repository>[^/]+/[^/]+)/issues/(?P<number>\d+)/timeline$"
)
_NUMBERS: Final = re.compile(r"issue\(number: (\d+)\)")


class State:
    """What the server holds, and what it was asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.set({})

    def set(self, told: dict[str, Any]) -> None:
        self.repositories: dict[str, Any] = told.get("repositories", {})
        self.tokens: dict[str, str] = told.get("tokens", {"good": "repo"})
        self.remaining: int = told.get("remaining", 5000)
        self.reset_at = time.time() + told.get("reset_in", 3600)
        self.faults: list[dict[str, Any]] = told.get("faults", [])
        self.asked: list[dict[str, Any]] = []

    def repository(self, name: str) -> dict[str, Any] | None:
        for known, held in self.repositories.items():
            if known.lower() == name.lower():
                return dict(held, name=known)
        return None

    def fault(self, path: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault.get("path", "") not in path:
                continue
            if fault.get("after", 0) > 0:
                fault["after"] -= 1
            elif fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None


class Reply:
    def __init__(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.value, self.headers = status, value, headers or {}


class Handler(BaseHTTPRequestHandler):
    """One request; the state is the server's."""

    protocol_version = "HTTP/1.1"

    @property
    def state(self) -> State:
        return self.server.state  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        with self.state.lock:
            self.state.set(json.loads(self._body()))
        self._send(Reply(200, {}), count=False)

    def do_GET(self) -> None:
        if self.path == "/control/asked":
            self._send(Reply(200, self.state.asked), count=False)
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, body: bytes) -> None:
        with self.state.lock:
            fault = self.state.fault(self.path)
            if fault is not None:
                self._fail(fault)
                return
            self._send(self._limited() or self._refused() or self._routed(body))

    def _fail(self, fault: dict[str, Any]) -> None:
        headers = {name.lower(): str(value) for name, value in fault.get("headers", {}).items()}
        if "reset_in" in fault:
            headers["x-ratelimit-reset"] = str(int(time.time() + fault["reset_in"]))
        if fault.get("drop"):
            self._note(0, 0)
            self.close_connection = True
            self.connection.close()
            return
        reply = Reply(fault.get("status", 500), fault.get("body", {"message": "fault"}), headers)
        self._send(reply, slow=bool(fault.get("slow")))

    def _limited(self) -> Reply | None:
        now = time.time()
        if self.state.remaining <= 0 and now >= self.state.reset_at:
            self.state.remaining = 5000
        if self.state.remaining > 0:
            return None
        message = "API rate limit exceeded for user ID 1."
        return Reply(403, {"message": message}, self._limits())

    def _limits(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": str(max(0, self.state.remaining)),
            "x-ratelimit-reset": str(int(self.state.reset_at)),
        }

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _refused(self) -> Reply | None:
        token = self._token()
        if token and token not in self.state.tokens:
            return Reply(401, {"message": "Bad credentials"})
        return None

    def _routed(self, body: bytes) -> Reply:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/graphql"):
            return self._graphql(json.loads(body))
        path = url.path.removeprefix("/api/v3")
        for pattern, route in ((_LIST, self._list), (_TIMELINE, self._timeline)):
            if match := pattern.match(path):
                return self._visible(match["repository"]) or route(
                    match.groupdict(), query, url.path
                )
        return Reply(404, {"message": "Not Found"})

    def _visible(self, name: str) -> Reply | None:
        """Return the refusal for a repository that may not be read."""
        held = self.state.repository(name)
        scopes = self.state.tokens.get(self._token())
        scoped = {} if scopes is None else {"x-oauth-scopes": scopes}
        if held and held.get("moved_to"):
            at = self.path.replace(held["name"], held["moved_to"])
            return Reply(301, {"message": "Moved Permanently"}, {"location": at})
        if held is None or (held.get("private") and "repo" not in (scopes or "")):
            return Reply(404, {"message": "Not Found"}, scoped)
        if held.get("issues_disabled"):
            return Reply(410, {"message": "Issues are disabled for this repo"})
        return None

    def _list(self, named: dict[str, str], query: dict[str, str], path: str) -> Reply:
        if query.get("page", "1") != "1":
            message = "Pagination with the page parameter is not supported for large datasets"
            return Reply(422, {"message": message})
        held = self.state.repository(named["repository"])
        assert held is not None
        issues = [
            issue for issue in held.get("issues", [])
            if query.get("state") in ("all", issue.get("state", "open"))
            and issue["updated_at"] >= query.get("since", "")
        ]  # fmt: skip
        assert query["sort"] == "updated"
        assert query["direction"] == "asc"
        issues.sort(key=lambda issue: (issue["updated_at"], issue["number"]))
        return self._page([self._whole(issue, held["name"]) for issue in issues], query, path)

    def _whole(self, issue: dict[str, Any], name: str) -> dict[str, Any]:
        """Return an issue with the fields that GitHub adds, most of no use to anyone here."""
        given = {
            "id": 10_000 + issue["number"], "title": f"Issue {issue['number']}", "body": None,
            "html_url": f"https://github.example/{name}/issues/{issue['number']}", "state": "open",
            "state_reason": None, "labels": [], "comments": 0, "author_association": "NONE",
            "user": {"login": "someone", "type": "User"}, "reactions": {"total_count": 0},
        }  # fmt: skip
        return given | issue

    def _timeline(self, named: dict[str, str], query: dict[str, str], path: str) -> Reply:
        held = self.state.repository(named["repository"])
        assert held is not None
        numbers = {str(issue["number"]) for issue in held.get("issues", [])}
        if named["number"] not in numbers - set(held.get("gone", [])):
            return Reply(410, {"message": "This issue was deleted"})
        return self._page(held.get("timelines", {}).get(named["number"], []), query, path)

    def _page(self, items: list[Any], query: dict[str, str], path: str) -> Reply:
        size = min(int(query.get("per_page", "30")), 100)
        start = int(query.get("after", "cursor0").removeprefix("cursor"))
        headers = {}
        if start + size < len(items):
            following = urlencode(query | {"after": f"cursor{start + size}"})
            base = f"http://{self.headers['Host']}{path}"
            headers["link"] = f'<{base}?{following}>; rel="next", <{base}?x=1>; rel="first"'
        return Reply(200, items[start : start + size], headers)

    def _graphql(self, body: dict[str, Any]) -> Reply:
        if not self._token():
            return Reply(401, {"message": "This endpoint requires you to be authenticated."})
        variables = body["variables"]
        held = self.state.repository(f"{variables['owner']}/{variables['name']}")
        if held is None or "canonical" not in held:
            return Reply(200, {"errors": [{"message": "Field 'duplicateOf' doesn't exist"}]})
        nodes: dict[str, Any] = {}
        for number in _NUMBERS.findall(body["query"]):
            name, _, other = held["canonical"].get(number, "").partition("#")
            found = {"number": int(other), "repository": {"nameWithOwner": name}} if other else None
            nodes[f"i{number}"] = {"duplicateOf": found}
        return Reply(200, {"data": {"repository": nodes}})

    def _send(self, reply: Reply, *, count: bool = True, slow: bool = False) -> None:
        content = json.dumps(reply.value).encode()
        etag = f'W/"{hashlib.sha256(content).hexdigest()}"'
        headers = dict(reply.headers)
        status = reply.status
        if status == 200 and count:
            headers["etag"] = etag
            if self.headers.get("If-None-Match") == etag:
                status, content = 304, b""
            else:
                self.state.remaining -= 1  # what has not changed costs nothing
            headers = self._limits() | headers
        if count:
            self._note(status, len(content))
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._write(content, slow=slow)

    def _write(self, content: bytes, *, slow: bool) -> None:
        try:
            for at in range(0, len(content), 1) if slow else ():
                self.wfile.write(content[at : at + 1])
                time.sleep(0.05)
            self.wfile.write(b"" if slow else content)
        except OSError:
            self.close_connection = True

    def _note(self, status: int, size: int) -> None:
        url = urlsplit(self.path)
        self.state.asked.append(
            {
                "method": self.command, "path": url.path, "query": url.query, "status": status,
                "bytes": size, "token": self._token(), "at": time.time(),
            }
        )  # fmt: skip
