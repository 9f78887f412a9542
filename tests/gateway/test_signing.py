"""Our signatures against botocore's."""

from datetime import UTC, datetime
from urllib.parse import quote

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from app.infrastructure.bedrock.signing import signed

NOW = datetime(2026, 11, 23, 12, 30, 5, tzinfo=UTC)
BASES = (
    "https://bedrock-runtime.us-west-2.amazonaws.com",
    "https://bedrock-runtime.us-west-2.amazonaws.com:443",
    "https://vpce.example:8443/base",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:80",
    "http://[::1]:9000",
)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=st.sampled_from(BASES),
    model=WORDS,
    secrets=st.tuples(WORDS, WORDS, st.none() | WORDS),
    accept=WORDS,
    body=st.binary(max_size=50),
)
def test_they_are_the_same(monkeypatch, base, model, secrets, accept, body):
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
    credentials = ReadOnlyCredentials(*secrets)
    url = f"{base}/model/{quote(model, safe='')}/invoke"
    headers = {"Content-Type": "application/json", "Accept": accept}
    theirs = AWSRequest("POST", url, headers=headers, data=body)
    auth.SigV4Auth(credentials, "bedrock", "us-west-2").add_auth(theirs)
    ours = signed(credentials, "us-west-2", URL(url, encoded=True), headers, body, NOW)
    assert ours == dict(theirs.headers.items())
