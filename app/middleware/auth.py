"""Lets in who holds a key."""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthorized
from app.middleware.credentials import credentials, of_this_machine
from app.services.callers import Caller


class AuthenticationMiddleware:
    """Every path needs a key but the open ones, which are compared as they were sent, before any decoding."""

    def __init__(
        self, app: ASGIApp, *, keys: Iterable[str], open_paths: frozenset[bytes], keyless: bool, origins: Iterable[str]
    ) -> None:
        self._app, self._open_paths, self._keyless, self._origins = app, open_paths, keyless, frozenset(origins)
        self._keys = tuple((digest := _digest(key.encode()), f"key-{digest.hex()[:8]}") for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and _raw_path(scope) not in self._open_paths:
            scope.setdefault("state", {})["caller"] = self._caller(scope)
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        said = credentials(scope["headers"])
        key_id = self._local(scope) if self._keyless else self._key_id(said.key)
        if key_id is None:
            raise Unauthorized
        return Caller(key_id, user_id=said.user_id, admin_id=said.admin_id)

    def _key_id(self, key: bytes | None) -> str | None:
        digest, found = _digest(key or b""), None
        for known, key_id in self._keys:  # all of them, so that the time says nothing about which one was near
            if hmac.compare_digest(known, digest):
                found = key_id
        return found

    def _local(self, scope: Scope) -> str | None:
        return "development" if of_this_machine(scope["headers"], self._origins) else None


def _digest(key: bytes) -> bytes:
    return sha256(b"api-key\0" + key).digest()


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw
