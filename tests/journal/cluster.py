"""A real PostgreSQL server for tests: a cluster in a temporary folder, gone at the end.

The server refuses to run as root; started by root, it runs as another user of the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

_PATIENCE: Final = 60.0  # seconds
# Only clients are killed here, so safety against power loss would cost time for nothing.
_SETTINGS: Final = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")


class Cluster(NamedTuple):
    """A running server on a loopback port."""

    port: int

    def url(self, name: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self) -> str:
        """Create an empty database and return its URL."""
        name = f"journal_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, also one that is still in use."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"drop database {url.rpartition('/')[2]} with (force)".encode())


def binaries() -> Path | None:
    """Return the folder with the server's programs; None where there is no server."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = [
        path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if (path.parent / "postgres").exists()
    ]
    return max(installed, key=lambda path: int(path.parent.name), default=None)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server while the block lasts."""
    programs = binaries()
    assert programs is not None
    user = _user()
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder, port = Path(name), _free_port()
        if user:
            shutil.chown(folder, **user)
        given: dict[str, Any] = {"cwd": folder, **user}
        if user:
            given["extra_groups"] = []
        command = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE, **given)
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        command = [programs / "postgres", "-D", folder / "data", "-p", str(port), *settings]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **given
            ) as server,
        ):
            try:
                _wait(server, Cluster(port), folder / "log")
                yield Cluster(port)
            finally:
                server.send_signal(signal.SIGINT)  # ends at once, connections too
                with suppress(subprocess.TimeoutExpired):
                    server.wait(_PATIENCE)
                server.kill()


def _user() -> dict[str, Any]:
    """Return as whom the server runs, as `subprocess` takes it; nothing for as whom we run."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    import pwd  # noqa: PLC0415 - not there on every system

    names = {entry.pw_name for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in names else "nobody"
    return {"user": name, "group": pwd.getpwnam(name).pw_gid}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], cluster: Cluster, log: Path) -> None:
    """Return once the server answers."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with suppress(psycopg.OperationalError):
            psycopg.connect(cluster.url(), connect_timeout=2).close()
            return
        time.sleep(0.05)
    message = f"the server did not start: {log.read_text(errors='replace')}"
    raise RuntimeError(message)
