"""Drives a real Chromium for tests of pages, over the DevTools protocol on a pipe.

Nothing but the browser is needed, no port is opened, and the browser ends with the process that
started it. Names resolve to nothing, so no page can reach a network.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND: Final = next((path for name in NAMES if (path := shutil.which(name))), None)
REASON: Final = f"no browser: install one of {', '.join(NAMES)}"

_FLAGS: Final = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
# The browser reads commands from descriptor 3 and writes to 4, whatever the numbers are here.
_START: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_KEYS: Final = {
    "ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, "Enter": 13, "Escape": 27, "Tab": 9,
}  # fmt: skip


class Browser:
    """A running browser; use it as `with started(folder) as browser`."""

    def __init__(self, to_browser: int, from_browser: int, downloads: Path) -> None:
        self._out, self._in, self.downloads = to_browser, from_browser, downloads
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        behaviour = {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True}
        self.call("Browser.setDownloadBehavior", behaviour)

    def call(
        self, method: str, parameters: dict[str, Any] | None = None, session: str = ""
    ) -> dict[str, Any]:
        """Return the browser's answer to a command; events that come first are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read(60)
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                found: dict[str, Any] = answer["result"]
                return found
            self.events.append(answer)

    def open(self, path: Path) -> Page:
        """Return a new page that shows the file at ``path``."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        page = Page(self, self.call("Target.attachToTarget", attach)["sessionId"], target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.go(path)
        return page

    def downloaded(self, timeout: float = 20) -> Path:
        """Return the file of the download that ends next."""
        end = time.monotonic() + timeout
        names: dict[str, str] = {}
        while True:
            for event in [e for e in self.events if e["method"].startswith("Browser.download")]:
                self.events.remove(event)
                values = event["params"]
                if event["method"] == "Browser.downloadWillBegin":
                    names[values["guid"]] = values["suggestedFilename"]
                elif values["state"] == "completed" and values["guid"] in names:
                    return self.downloads / names[values["guid"]]
            self.events.append(self._read(end - time.monotonic()))

    def _read(self, timeout: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, timeout))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 16)
            assert data, "the browser has ended"
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self.session, self._target = browser, session, target

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a command for this tab."""
        return self.browser.call(method, parameters, self.session)

    def go(self, path: Path) -> None:
        """Show the file at ``path`` and wait until it is loaded; the same one: load it again."""
        self.evaluate("window.before = true")  # the page that is left is loaded as well
        self.call("Page.navigate", {"url": path.as_uri()})
        loaded = "document.readyState === 'complete' && location.protocol === 'file:'"
        self.wait(f"!window.before && {loaded}")

    def close(self) -> None:
        """Close the tab."""
        self.browser.call("Target.closeTarget", {"targetId": self._target})

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, timeout: float = 20) -> None:
        """Return once an expression holds."""
        end = time.monotonic() + timeout
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.02)

    def press(self, *keys: str, **options: Any) -> None:
        """Press keys one after the other: a character or a name ("ArrowLeft", "Escape")."""
        for key in keys:
            event = {"key": key, "windowsVirtualKeyCode": _KEYS.get(key, ord(key[0].upper()))}
            if key.isdigit():
                event["code"] = f"Digit{key}"
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            kind = "keyDown" if text else "rawKeyDown"
            down = {"type": kind, "text": text} if text else {"type": kind}
            self.call("Input.dispatchKeyEvent", event | down | options)
            self.call("Input.dispatchKeyEvent", event | {"type": "keyUp"} | options)

    def type(self, text: str) -> None:
        """Insert text where the focus is."""
        self.call("Input.insertText", {"text": text})

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a pointer would."""
        place = self.evaluate(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); "
            "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        event = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", event | {"type": kind})

    def text(self, selector: str) -> str:
        """Return the text of an element as it is shown."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Set the size of the window, and what it is like."""
        screen = {"width": width, "height": height, "mobile": phone, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", screen)
        self.call("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is shown as PNG; ``whole``: what lies below the window too."""
        shot = self.call("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """Return the address of everything this tab asked for."""
        return [values["request"]["url"] for values in self._of("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Return what the console holds: errors, warnings, uncaught exceptions."""
        self.evaluate("0")  # what was on its way has come before the answer
        thrown = [str(values["exceptionDetails"]) for values in self._of("Runtime.exceptionThrown")]
        logged = [str(values["entry"]) for values in self._of("Log.entryAdded")]
        said = [str(values["args"]) for values in self._of("Runtime.consoleAPICalled")]
        return thrown + logged + said

    def _of(self, method: str) -> list[dict[str, Any]]:
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event["params"] for event in mine if event["method"] == method]


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """Run a browser whose profile and downloads lie in ``folder``."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # it does not start as root with one
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *map(str, theirs), str(FOUND), *flags],
        pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for end in (theirs_in, theirs_out, *theirs):
        os.close(end)
    try:
        browser = Browser(ours_out, ours_in, downloads)
        yield browser
        with suppress(AssertionError, OSError):
            browser.call("Browser.close")
    finally:
        for end in (ours_out, ours_in):
            os.close(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
