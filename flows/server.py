"""A Prefect server without set-up: the one that is named, else a local one that outlives the run.

Prefect reads its environment when it is imported, so nothing here imports it, and `connect` comes
first. The local server keeps its database in a folder of its own, listens on the loopback
interface only, and is described by ``server.json`` there: the port it got and its process. It stays
up after a run, so no history is lost and the pages can be looked at; the next run reuses it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, Final

from filelock import FileLock

from pipeline.errors import ResourceError

log = logging.getLogger(__name__)

ADDRESS: Final = "127.0.0.1"
STARTUP_SECONDS: Final = 120.0
DEFAULTS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the library also logs outside runs
}
# What Prefect prints itself; its records still reach the server.
QUIET: Final = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
}


def connect(folder: Path, *, ephemeral: bool = False, quiet: bool = True) -> str:
    """Prepare the environment for Prefect, and return the URL of its API ("" when ephemeral).

    Raises:
        ResourceError: when the named server does not answer, or no local one can be started.
    """
    for name, value in {**DEFAULTS, **(QUIET if quiet else {})}.items():
        os.environ.setdefault(name, value)
    if ephemeral:
        _use_ephemeral(folder)
        return ""
    if named := os.environ.get("PREFECT_API_URL"):
        if not answers(named):
            message = (
                f"the Prefect server {named} that PREFECT_API_URL names does not answer: "
                "start it, or unset PREFECT_API_URL to use a local one"
            )
            raise ResourceError(message)
        return named
    api = start(folder)
    _reach_directly()
    os.environ |= {"PREFECT_API_URL": api, "PREFECT_HOME": str(folder)}
    return api


def ui_url(api: str) -> str:
    """Return where the pages of the server with this API are."""
    return os.environ.get("PREFECT_UI_URL") or api.removesuffix("/").removesuffix("/api")


def running(folder: Path) -> str:
    """Return the API's URL of the local server if it runs and is of the installed version."""
    try:
        state = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        os.kill(state["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    current = state.get("version") == metadata.version("prefect")
    return state["api"] if current and _healthy(state["api"]) else ""


def start(folder: Path) -> str:
    """Return the API's URL of the local server, started if it does not run.

    Raises:
        ResourceError: when it does not come up; names its log.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(folder / "server.lock"):
        if api := running(folder):
            return api
        earlier = _stop(folder)
        port = _free_port(earlier)
        api = f"http://{ADDRESS}:{port}/api"
        log.info("starting the local Prefect server, half a minute the first time")
        process = _spawn(folder, port)
        _await(process, api, folder)
        state = {"pid": process.pid, "port": port, "api": api}
        state["version"] = metadata.version("prefect")
        aside = folder / "server.json.tmp"
        aside.write_text(json.dumps(state), encoding="utf-8")
        aside.replace(folder / "server.json")
        return api


def _spawn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {
        **DEFAULTS,
        **{name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"},
        "PREFECT_HOME": str(folder),
        # The pages ask the API where these say it is, whatever --port is.
        "PREFECT_SERVER_API_HOST": ADDRESS,
        "PREFECT_SERVER_API_PORT": str(port),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", ADDRESS]
    with (folder / "server.log").open("wb") as output:
        return _detached([*command, "--port", str(port)], environment, output)


def _detached(
    command: list[str], environment: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a process that neither Ctrl-C in this terminal nor its closing reaches."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _await(process: subprocess.Popen[bytes], api: str, folder: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    healthy = False
    try:
        while process.poll() is None and time.monotonic() < deadline and not healthy:
            time.sleep(0.25)
            healthy = _healthy(api)
    finally:  # Ctrl-C included
        if not healthy:
            process.kill()
    if not healthy:
        message = f"the local Prefect server did not start: see {folder / 'server.log'}"
        raise ResourceError(message)
    process.returncode = 0  # it is meant to outlive us: no warning that it still runs


def _stop(folder: Path) -> int:
    """End the server that ``server.json`` tells of, if it is ours and runs; return its port."""
    try:
        state = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        port, pid = int(state["port"]), int(state["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    if _healthy(state["api"]):
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
            _wait_until_gone(pid)
    return port


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        time.sleep(0.2)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, port))
            return int(probe.getsockname()[1])
    message = f"no free port on {ADDRESS} for the local Prefect server"
    raise ResourceError(message)


def _use_ephemeral(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.pop("PREFECT_API_URL", None)
    _reach_directly()
    os.environ |= {"PREFECT_HOME": str(folder), "PREFECT_SERVER_EPHEMERAL_ENABLED": "true"}
    timeout = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
    os.environ.setdefault(timeout, f"{STARTUP_SECONDS:.0f}")


def _reach_directly() -> None:
    """Keep a proxy that the environment names out of the way to the loopback interface."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        if ADDRESS not in hosts:
            os.environ[name] = ",".join([*hosts, ADDRESS, "localhost"])


def answers(api: str) -> bool:
    """Return whether anything answers at ``api``; a refusal for want of a key is an answer."""
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=10):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _healthy(api: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{api}/health", timeout=5) as answer:
            return bool(answer.status == 200 and answer.read().strip() == b"true")
    except (OSError, ValueError):
        return False
