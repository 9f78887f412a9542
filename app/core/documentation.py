"""The API's own documentation pages, without a foreign host."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

DOCS, REDOC, OPENAPI = "/docs", "/redoc", "/openapi.json"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
PATHS = frozenset({DOCS, REDOC, OPENAPI, *(f"{DOCS}/{name}" for name in _ASSETS)})
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_SCHEMES = {
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


class DocumentedApi(FastAPI):
    """Says in its OpenAPI how callers authenticate."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
        schema["security"] = [{name: []} for name in _SCHEMES]
        return schema


def add_documentation(app: FastAPI) -> None:
    """Swagger UI and ReDoc, their scripts and styles served from here."""
    swagger = get_swagger_ui_html(
        openapi_url=OPENAPI,
        title=app.title,
        swagger_js_url=f"{DOCS}/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS}/swagger-ui.css",
        swagger_favicon_url=f"{DOCS}/favicon.png",
    )
    redoc = get_redoc_html(
        openapi_url=OPENAPI,
        title=app.title,
        redoc_js_url=f"{DOCS}/redoc.standalone.js",
        redoc_favicon_url=f"{DOCS}/favicon.png",
        with_google_fonts=False,
    )
    _add_page(app, DOCS, swagger)
    _add_page(app, REDOC, redoc)
    for name, media_type in _ASSETS.items():
        _add_asset(app, name, media_type)


def _add_page(app: FastAPI, path: str, page: HTMLResponse) -> None:
    body, policy = bytes(page.body), _policy(bytes(page.body))

    @app.get(path, include_in_schema=False)
    async def read_page() -> HTMLResponse:
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})


def _add_asset(app: FastAPI, name: str, media_type: str) -> None:
    asset = files("fastapi_offline") / "static" / name

    @app.get(f"{DOCS}/{name}", include_in_schema=False)
    def read_asset() -> Response:
        return Response(asset.read_bytes(), media_type=media_type, headers={"Cache-Control": "max-age=86400"})


def _policy(page: bytes) -> str:
    """Only our own scripts and the page's inline ones, word for word."""
    inline = (f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in _INLINE_SCRIPT.findall(page))
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *inline)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "worker-src blob:",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
