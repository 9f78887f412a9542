"""The documentation pages."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256

import aiohttp
import pytest

from app import NAME, VERSION
from app.config import ROOT
from tests.edge import edge, edge_app, edge_settings


@pytest.fixture(scope="module")
async def reader() -> AsyncIterator[aiohttp.ClientSession]:
    async with edge(edge_app(edge_settings())) as client:
        yield client


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_loads_nothing_from_elsewhere_and_all_it_loads_is_there(
    reader: aiohttp.ClientSession, path: str
) -> None:
    async with reader.get(path) as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Type"].startswith("text/html")
    assert "https://" not in page
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for target in loaded:
        async with reader.get(target) as answer:
            assert answer.status == 200
            assert len(await answer.read()) > 1000
    for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL):
        assert b64encode(sha256(script.encode()).digest()).decode() in policy
    assert "script-src 'self'" in policy
    assert "'unsafe-eval'" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


async def test_the_schema_says_how_callers_authenticate(reader: aiohttp.ClientSession) -> None:
    async with reader.get("/openapi.json") as answer:
        schema = await answer.json()
    assert schema["info"] == {"title": NAME, "version": VERSION}
    assert set(schema["components"]["securitySchemes"]) == {"X-API-Key", "Bearer"}
    assert schema["security"] == [{"X-API-Key": []}, {"Bearer": []}]


def test_the_version_is_the_projects() -> None:
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text()
