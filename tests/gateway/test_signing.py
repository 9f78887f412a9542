"""What a signed request carries."""

import re

from botocore.credentials import ReadOnlyCredentials
from yarl import URL

from app.infrastructure.bedrock.signing import signed

URL_OF_CALL = URL("https://bedrock-runtime.eu-west-1.amazonaws.com/model/vendor.model%3A0/invoke", encoded=True)
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=AKID/\d{8}/eu-west-1/bedrock/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}"
)


def sign(token: str | None = None, body: bytes = b"{}") -> dict[str, str]:
    credentials = ReadOnlyCredentials("AKID", "secret-of-the-test", token)
    return signed(credentials, "eu-west-1", URL_OF_CALL, {"Content-Type": "application/json"}, body)


def test_the_signature_names_key_region_and_service_and_covers_every_header():
    headers = sign()
    found = AUTHORIZATION.fullmatch(headers["Authorization"])
    assert found
    assert {"content-type", "host", "x-amz-date"} <= set(found[1].split(";"))
    assert "secret-of-the-test" not in "".join(headers.values())


def test_a_session_token_travels_and_is_signed():
    headers = sign("token-of-the-test")
    assert headers["X-Amz-Security-Token"] == "token-of-the-test"
    assert "x-amz-security-token" in headers["Authorization"]


def test_another_body_has_another_signature():
    assert sign(body=b"{}")["Authorization"] != sign(body=b'{"a":1}')["Authorization"]
