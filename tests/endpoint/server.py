"""The endpoint: routes, the order of script and ledger, and the doors for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.endpoint.batches import Batches
from tests.endpoint.chat import Desk, Question, new_entry, parsed
from tests.endpoint.files import Files
from tests.endpoint.ledger import Entry, Ledger
from tests.endpoint.protocol import Connection, Head, Request
from tests.endpoint.refusals import Case
from tests.endpoint.script import CHAT, LINE, Asked, Chosen, Play, Script, ScriptError, parse
from tests.endpoint.wire import Answer, Reply, encode, error_reply, json_reply

_PATHS: Final = {
    "/v1/chat/completions": CHAT,
    "/v1/models": "models",
    "/v1/files": "files",
    "/v1/batches": "batches",
}


class Sending(NamedTuple):
    """A reply on its way: what is sent, how, and the line of the ledger about it."""

    reply: Reply
    entry: Entry
    chosen: Chosen | None
    case: Case
    begin: float = 0.0


class Server:
    """Answers requests as a script says and writes the ledger."""

    def __init__(self, script: Script, ledger: Path | None = None) -> None:
        self._ledger = Ledger(ledger)
        self._doors: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/ledger"): lambda _: json_reply(self._ledger.entries),
            ("GET", "/ledger/summary"): lambda _: json_reply(self._ledger.summary()),
            ("POST", "/script"): self._set_script,
            ("POST", "/reset"): self._reset,
        }
        self._play(script)
        self._forget_batches()

    def unread(self, head: Head) -> bool:
        """Return whether the body is to be left unread; if so, that is in the ledger."""
        route = _route(head.path)
        if route is None or not self._script.unread(route):
            return False
        token = _token(head)
        question = Question(route, {}, b"", token, time.monotonic())
        entry = new_entry(question, self._script.count(route), ())
        entry |= {"key": "", "answered": "close_unread"}
        self._write(entry)
        return True

    def answer(self, request: Request) -> Answer:
        """Return what to do about a request."""
        door = self._doors.get((request.head.method, request.head.path))
        if door is not None:
            return Answer([encode(door(request))], 0.0)
        route = _route(request.head.path)
        if route is None:
            words = f"{request.head.method} {request.head.path}"
            return Answer([encode(error_reply(404, f"Invalid URL ({words})"))], 0.0)
        in_flight = self._ledger.begin()
        if route == CHAT and request.head.method == "POST":
            return self._send(self._chat(request, in_flight))
        return self._send(self._other(request, route))

    def _chat(self, request: Request, in_flight: int) -> Sending:
        headers = request.head.headers
        question = Question(
            CHAT, parsed(request.body), request.body, _token(request.head), request.arrived,
            in_flight, "idempotency-key" in headers,
        )  # fmt: skip
        outcome = self._desk.answer(question)
        begin = request.arrived + outcome.latency
        return Sending(outcome.reply, outcome.entry, outcome.chosen, outcome.case, begin)

    def _other(self, request: Request, route: str) -> Sending:
        """Return the reply of another route; the work is done unless a fault is not billed."""
        token = _token(request.head)
        question = Question(route, {}, request.body, token, request.arrived)
        entry = new_entry(question, self._script.count(route), ())
        entry["key"] = ""
        text = request.body.decode("utf-8", "replace")
        chosen = self._script.choose(Asked(route, entry["number"], "", 0, text, {}))
        case = Case({}, token, None, chosen.options if chosen else {})
        key = self._script.script.key
        reply = error_reply(401, "Incorrect API key provided.", "invalid_api_key")
        if not key or token == key:
            reply = self._api(request) if chosen is None or chosen.billed else json_reply({})
        if chosen is not None and chosen.fault.replace is not None:
            reply = chosen.fault.replace(reply, case)
        entry |= {"answered": chosen.name if chosen else "good", "status": reply.status}
        return Sending(reply, entry, chosen, case)

    def _api(self, request: Request) -> Reply:
        """Answer requests about models, files and batches."""
        head, plan = request.head, self._script.script.batch
        name = head.path.removeprefix("/v1/batches/")
        match head.method, head.path.split("/")[2:]:
            case "GET", ["models"]:
                reply = self._models()
            case "POST", ["files"]:
                reply = self._files.upload(request.body, head.headers.get("content-type", ""))
            case "GET", ["files", *_]:
                reply = self._files.fetch(head.path)
            case "POST", ["batches"]:
                reply = self._batches.create(parsed(request.body), plan)
            case "GET", ["batches"]:
                reply = self._batches.listed(head.query)
            case "GET", ["batches", _]:
                reply = self._batches.poll(name, plan)
            case "POST", ["batches", _, "cancel"]:
                reply = self._batches.cancel(name.removesuffix("/cancel"))
            case _:
                reply = error_reply(405, f"Not allowed: {head.method} {head.path}")
        return reply

    def _models(self) -> Reply:
        names = self._script.script.models or ("overlap",)
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in names
        ]
        return json_reply({"object": "list", "data": models})

    def _send(self, sending: Sending) -> Answer:
        reply, entry, chosen = sending.reply, sending.entry, sending.chosen
        self._write(entry)

        def done(gone: bool) -> None:  # noqa: FBT001 - a callback
            self._ledger.in_flight -= 1
            entry["gone"] = gone
            if gone:
                return
            entry["sent"] = now = time.monotonic()
            if reply.wait or reply.until:
                grace = self._script.script.grace
                self._ledger.wait(entry["route"], now + grace, reply.until or now + reply.wait)

        if chosen is not None and chosen.fault.broken is not None:
            return Answer(chosen.fault.broken(reply, sending.case), sending.begin, done)
        return Answer([encode(reply)], sending.begin, done)

    def _write(self, entry: Entry) -> None:
        entry["early"] = self._ledger.early(entry["route"], entry["arrived"])
        self._ledger.write(entry)

    def _ask(self, body: Any, custom_id: str) -> Reply:
        """Answer a line of a batch."""
        question = Question(LINE, body, repr(body).encode(), "", time.monotonic(),
                            custom_id=custom_id)  # fmt: skip
        outcome = self._desk.answer(question)
        self._write(outcome.entry)
        return outcome.reply

    def _play(self, script: Script) -> None:
        self._script = Play(script)
        self._desk = Desk(self._script)

    def _forget_batches(self) -> None:
        self._files = Files()
        self._batches = Batches(self._files, self._ask)

    def _set_script(self, request: Request) -> Reply:
        try:
            self._play(parse(parsed(request.body)))
        except (ScriptError, TypeError, ValueError) as error:
            return error_reply(400, f"{type(error).__name__}: {error}")
        return json_reply({"done": True})

    def _reset(self, _: Request) -> Reply:
        self._ledger.clear()
        self._play(self._script.script)
        self._forget_batches()
        return json_reply({"done": True})


async def listen(server: Server, port: int) -> asyncio.Server:
    """Return a server that listens on the loopback interface; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=4096)


def _route(path: str) -> str | None:
    """Return the route of a path, or None when there is none."""
    if path in _PATHS:
        return _PATHS[path]
    start = "/".join(path.split("/")[:3])
    return _PATHS.get(start) if start != "/v1/chat" else None


def _token(head: Head) -> str:
    return head.headers.get("authorization", "").removeprefix("Bearer ").strip()
