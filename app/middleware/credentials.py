"""Reads who a request says it comes from."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.errors import InvalidInput
from app.utils.ids import is_chosen_id

MAX_HEADER_BYTES = 32 * 1024

_CLEAN = re.compile(rb"[\x20-\x7e]{0,4096}")
_READ = frozenset({b"x-api-key", b"authorization", b"x-user-id", b"x-admin-id"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the headers say, well-formed but not yet believed."""

    key: bytes | None
    user_id: str | None
    admin_id: str | None


def credentials(headers: Iterable[tuple[bytes, bytes]]) -> Credentials:
    """Only headers count: a key in a query, a cookie or a form is no key."""
    said: dict[bytes, set[bytes]] = {}
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _READ:
            said.setdefault(name, set()).add(_clean(value))
    if size > MAX_HEADER_BYTES:
        raise InvalidInput("The headers are too large.")
    keys = {key for key in (*said.get(b"x-api-key", ()), *map(_bearer, said.get(b"authorization", ()))) if key}
    if len(keys) > 1:
        raise InvalidInput("The request names two different keys.")
    return Credentials(keys.pop() if keys else None, _id(said.get(b"x-user-id")), _id(said.get(b"x-admin-id")))


def _clean(value: bytes) -> bytes:
    if not _CLEAN.fullmatch(value):
        raise InvalidInput("A header holds characters that are not allowed, or is too long.")
    return value.strip()


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _id(values: set[bytes] | None) -> str | None:
    if values is None:
        return None
    value = next(iter(values)).decode("ascii")
    if len(values) > 1 or not is_chosen_id(value):
        raise InvalidInput("X-User-ID and X-Admin-ID take 1 to 100 characters of A-Z a-z 0-9 . _ @ : -")
    return value


def of_this_machine(headers: Iterable[tuple[bytes, bytes]], origins: Collection[str]) -> bool:
    """Whether a program of this machine asks, and not a stranger's page in one of its browsers."""
    said = {name: value.decode("latin-1") for name, value in headers if name in {b"host", b"origin"}}
    host, origin = said.get(b"host", ""), said.get(b"origin")
    return _is_loopback(host) and (
        origin is None or origin in origins or origin in {f"http://{host}", f"https://{host}"}
    )


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
