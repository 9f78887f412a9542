"""AWS Signature Version 4 for requests to the model service."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from botocore.credentials import ReadOnlyCredentials
from yarl import URL

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "bedrock"


def signed(
    credentials: ReadOnlyCredentials, region: str, url: URL, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """The headers of a POST and those that sign it. The URL has no query; header values need no folding."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "X-Amz-Date": moment}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token
    canonical = {name.lower(): value.strip() for name, value in sent.items()}
    canonical["host"] = url.host_port_subcomponent or ""
    names = ";".join(sorted(canonical))
    lines = [f"{name}:{canonical[name]}" for name in sorted(canonical)]
    request = "\n".join(["POST", quote(url.raw_path, safe="/~"), "", *lines, "", names, _digest(body)])
    scope = f"{moment[:8]}/{region}/{_SERVICE}/aws4_request"
    text = "\n".join([_ALGORITHM, moment, scope, _digest(request.encode())])
    signature = hmac.digest(_key(credentials.secret_key, moment[:8], region), text.encode(), "sha256").hex()
    credential = f"Credential={credentials.access_key}/{scope}"
    sent["Authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    return sent


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=16)
def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
