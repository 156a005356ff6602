"""A model that a user names, behind an address: for the command `serve`."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import NamedTuple

import typer
from pydantic import ValidationError

from flows import models
from pipeline.encoder.spec import spec_of
from pipeline.errors import ConfigError
from pipeline.serving.limits import Limits
from pipeline.settings import home, secret


class Address(NamedTuple):
    """Where the server listens."""

    host: str
    port: int


class Access(NamedTuple):
    """What clients must say: the model's name, and the key in the variable ``key_env``."""

    name: str
    key_env: str


def limits(max_texts: int, max_chars: int, max_queue: int, max_batch: int) -> Limits:
    """Return the limits.

    Raises:
        ConfigError: when they contradict each other.
    """
    try:
        return Limits(
            max_texts=max_texts, max_chars=max_chars, max_queue=max_queue, max_batch=max_batch
        )
    except ValidationError as error:
        raise ConfigError(str(error.errors()[0]["ctx"]["error"])) from error


def serve(model: str, address: Address, access: Access, limits: Limits) -> None:
    """Answer requests with ``model`` until a signal comes.

    Raises:
        ConfigError: when the variable of the key is empty.
        InputError: when there is no such model, or the address cannot be had.
    """
    key = _key(access.key_env)
    place = models.find(model)
    spec_of(place)  # before anything slow: is it a model at all?
    name = access.name or (place.resolve().name if Path(model).expanduser().is_dir() else model)
    from pipeline.encoder.transformer import load_model  # noqa: PLC0415 - imports torch
    from pipeline.serving import server  # noqa: PLC0415 - as above
    from pipeline.serving.app import Service  # noqa: PLC0415

    listening = server.listen(*address)
    url = _url(address.host, listening.getsockname()[1])
    typer.echo(f"{url}: loading {name}", err=True)
    server.serve(
        listening,
        Service(name, int(place.stat().st_mtime), key, limits),
        load=lambda: load_model(place, home()),
        ready=lambda: typer.echo(welcome(url, name, access, address.host)),
    )


def _key(variable: str) -> str:
    key = secret(variable) if variable else ""
    if variable and not key.strip():
        message = f"--key-env {variable}: it is set neither in the environment nor in .env"
        raise ConfigError(message)
    return key.strip()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def welcome(url: str, name: str, access: Access, host: str) -> str:
    """Return what is said when the model is loaded: the address, and a request to try."""
    key = f' -H "Authorization: Bearer ${access.key_env}"' if access.key_env else ""
    body = json.dumps({"model": name, "input": "Open a file."}).replace("'", "\\u0027")
    lines = [
        f"{url}/v1: ready; end with Ctrl-C",
        f"  curl {url}/v1/embeddings -H 'Content-Type: application/json'{key} -d '{body}'",
    ]
    if not access.key_env and not _is_loopback(host):
        lines.append("  anyone who reaches this address can use it: --key-env asks for a key")
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
