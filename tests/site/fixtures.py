"""The site as tests use it: a process of its own that ends with the block."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHECKOUT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 30.0  # seconds


class RunningSite:
    """A site that runs; its ledger begins anew at each change."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def set(self, **state: object) -> None:
        """Change how the site behaves; see `tests.site.pages.State`."""
        self._get(f"/-/set?{urllib.parse.urlencode(state)}")

    def ledger(self) -> list[dict[str, Any]]:
        """Return every request since the last change: path, query, at, status, sent, host."""
        lines: list[dict[str, Any]] = json.loads(self._get("/-/ledger"))
        return lines

    def asked(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [line["path"] for line in self.ledger()]

    def bodies(self) -> int:
        """Return how many bodies were sent."""
        return sum(line["sent"] > 0 for line in self.ledger())

    def _get(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=_PATIENCE) as reply:
            body: bytes = reply.read()
        return body


def self_signed(path: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + certificate.public_bytes(pem))
    return path


@contextmanager
def start(pages: int = 20, certificate: Path | None = None) -> Iterator[RunningSite]:
    """Run a site with a tree of so many pages, over TLS where it is given a certificate."""
    command = [sys.executable, "-m", "tests.site", "--pages", str(pages)]
    command += ["--certificate", str(certificate)] if certificate else []
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield RunningSite(json.loads(process.stdout.readline())["port"])
        finally:
            process.stdin.close()
            process.wait(_PATIENCE)
