"""How JSON bodies are read: fractions stay decimal, and whatever is no JSON is told so."""

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute


def _no_number(literal: str) -> NoReturn:
    raise ValueError(literal)


async def read_json(request: Request) -> object:
    """The body, which stays readable. Raises JSONDecodeError for anything but JSON, depth and coding included."""
    body = await request.body()
    try:
        return json.loads(body.decode(), parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError("not JSON", "", 0) from error


class JsonRequest(Request):
    """A request whose numbers never become floats."""

    async def json(self) -> object:
        """As `read_json`."""
        return await read_json(self)


class JsonRoute(APIRoute):
    """A route that reads its body so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given the request as we read it."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json
