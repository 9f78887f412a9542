"""One call of the model service, under the meter from its first byte to its last, whoever leaves in between."""

import asyncio
from typing import Protocol

from app.infrastructure.bedrock.calls import AnswerBroken, ModelRequest
from app.infrastructure.bedrock.client import ModelAnswer
from app.infrastructure.bedrock.usage import Meter, Reading, Tokens, meter

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes after which an answer counts as broken."""


class ModelService(Protocol):
    """What calls models."""

    async def open(self, request: ModelRequest) -> ModelAnswer:
        """Send a call and wait for the head of its answer; raises `ModelRefused` or `ServiceUnavailable`."""
        ...


class MeteredCall:
    """Hands on what the meter lets pass of the answer, and what it read there."""

    def __init__(self, service: ModelService, request: ModelRequest) -> None:
        self._operation = request.operation
        self.estimated_input = -(-len(request.body) // 4)
        """Tokens of the request, for an abandoned call of which the service never said a number."""
        self._opening = asyncio.create_task(service.open(request))
        self._answer: ModelAnswer | None = None
        self._meter: Meter | None = None
        self._size = 0
        self._whole = False

    async def opened(self) -> None:
        """Wait for the head; a caller that gives up leaves the call under way."""
        self._answer = await asyncio.shield(self._opening)
        self._meter = self._meter or meter(self._operation, self._answer.headers)

    @property
    def request_id(self) -> str:
        return self._answer.headers.get("x-amzn-RequestId", "") if self._answer else ""

    async def read(self) -> bytes:
        """The next bytes to pass on, as they arrive; empty at the end. Raises `AnswerBroken`."""
        if self._answer is None or self._meter is None:
            raise AnswerBroken
        while chunk := await self._answer.read():
            self._size += len(chunk)
            if self._size > LARGEST_ANSWER:
                raise AnswerBroken
            if passing := self._meter.feed(chunk):
                return passing
        self._whole = True
        return b""

    async def exhaust(self) -> None:
        """Read what nobody else reads any more. Raises `AnswerBroken`, or what `opened` raises."""
        if self._answer is None:
            await self.opened()
        while not self._whole:
            await self.read()

    @property
    def reading(self) -> Reading:
        """What the meter says of all that was read."""
        return self._meter.reading(whole=self._whole) if self._meter else Reading("failed", Tokens())

    @property
    def is_told_plainly(self) -> bool:
        """Whether the bytes passed on end well, or say themselves that they do not."""
        return self._whole and self.reading.outcome != "broken"

    def close(self) -> None:
        """Hang up on the service, if it still talks."""
        self._opening.cancel()
        if self._answer:
            self._answer.close()
