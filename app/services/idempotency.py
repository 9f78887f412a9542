"""A request with an `Idempotency-Key` has its effect once, however often it comes; a failed one leaves its key free."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import structlog

from app.database import Database, Session, TenantId
from app.errors import Conflict, InvalidInput, ServiceUnavailable, ValidationFailed
from app.models.idempotency_key import IdempotencyKey
from app.repositories.idempotency_keys import IdempotencyKeys, purge
from app.schemas.common import Output

PLATFORM = TenantId("*")
"""Scope of requests that belong to no tenant."""

log = structlog.get_logger()

KEPT = timedelta(hours=25)

_KEY = re.compile(r"[!-~]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """What makes a request the same one as before."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered."""

    status: int
    body: str
    replayed: bool


def keyed_request(key: str, *parts: bytes) -> KeyedRequest:
    """The request of that key and of everything else that distinguishes it. Raises InvalidInput."""
    if not _KEY.match(key):
        raise InvalidInput("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return KeyedRequest(key, digest.hexdigest())


async def _earlier(keys: IdempotencyKeys, asked: KeyedRequest) -> IdempotencyKey:
    earlier = await keys.find(asked.key)
    if earlier is None:
        raise Conflict("The same request is just being forgotten; try again.")
    if earlier.fingerprint != asked.fingerprint:
        raise ValidationFailed("This Idempotency-Key was used for another request.")
    return earlier


async def reserve(session: Session, tenant_id: TenantId, asked: KeyedRequest | None, run_id: UUID) -> UUID | None:
    """Tie the key to a run that is being admitted; returns the run it is tied to already, if any.

    Without a key there is nothing to do. Raises ValidationFailed if the key was used for another request.
    """
    if asked is None:
        return None
    keys = IdempotencyKeys(session, tenant_id)
    if await keys.reserve(asked.key, asked.fingerprint, run_id):
        return None
    return (await _earlier(keys, asked)).run_id


async def forget_old(database: Database) -> None:
    """Forget what was answered more than a day ago; tried again in the next round when the database is away."""
    try:
        async with database.platform() as session:
            await purge(session, KEPT)
    except ServiceUnavailable:
        log.warning("idempotency_keys.not_purged")


class Once:
    """Answers requests inside their transaction, keyed ones from memory when they come again."""

    def __init__(self, session: Session, tenant_id: TenantId, asked: KeyedRequest | None) -> None:
        self._keys = IdempotencyKeys(session, tenant_id)
        self._asked = asked

    async def created(self, shape: type[Output], effect: Callable[[], Awaitable[object]]) -> Answer:
        """The answer 201 with what the effect made. Raises what it raises, and ValidationFailed for a used key."""
        asked = self._asked
        if asked is None:
            return await self._fresh(shape, effect)
        if not await self._keys.reserve(asked.key, asked.fingerprint):
            earlier = await _earlier(self._keys, asked)
            return Answer(earlier.status or 201, earlier.answer or "", replayed=True)
        answer = await self._fresh(shape, effect)
        await self._keys.answer(asked.key, answer.status, answer.body)
        return answer

    async def _fresh(self, shape: type[Output], effect: Callable[[], Awaitable[object]]) -> Answer:
        made = shape.model_validate(await effect())
        return Answer(201, made.model_dump_json(), replayed=False)
