"""The few endpoints of the Hugging Face Hub that an upload uses, on a loopback port.

python hub_stand_in.py FILE     prints its URL once it listens; writes what came into FILE as JSON
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "hf_right"  # noqa: S105 - no secret
SEEN: dict[str, Any] = {"created": [], "commits": [], "tokens": []}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, value: object) -> None:
        Path(sys.argv[1]).write_text(json.dumps(SEEN))
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("X-Error-Message", "Invalid token")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        SEEN["tokens"].append(self.headers.get("Authorization"))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid token"})
        elif self.path == "/api/repos/create":
            given = json.loads(body)
            SEEN["created"].append(given)
            name = f"{given.get('organization') or 'someone'}/{given['name']}"
            self.answer(200, {"url": f"http://{self.headers['Host']}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            starts = json.loads(body)["content"].startswith("---\n")
            wrong = [] if starts else [{"message": "no front matter"}]
            self.answer(200, {"errors": wrong, "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self.answer(
                200,
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False,
                            "oid": None} for f in files]},
            )  # fmt: skip
        elif "/commit/main" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            SEEN["commits"].append({"path": self.path, "lines": lines})
            self.answer(
                200, {"success": True, "commitOid": "1" * 40, "hookOutput": "",
                      "commitUrl": f"http://{self.headers['Host']}/someone/model/commit/{'1' * 40}"}
            )  # fmt: skip
        else:
            self.answer(404, {"error": f"no {self.path}"})

    def do_GET(self) -> None:
        if (
            "/info" in self.path
            or "/revision/" in self.path
            or self.path.startswith("/api/models/")
        ):
            self.answer(200, {"id": "someone/model", "sha": "0" * 40, "siblings": []})
        else:
            self.answer(404, {"error": f"no {self.path}"})


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - read by who started it
    server.serve_forever()
