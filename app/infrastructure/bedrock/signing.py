"""AWS Signature Version 4 for requests to the model service, by botocore."""

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from yarl import URL

_SERVICE = "bedrock"


def signed(
    credentials: ReadOnlyCredentials, region: str, url: URL, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """The headers of a POST and those that sign it, at this moment."""
    request = AWSRequest("POST", str(url), headers=dict(headers), data=body)
    SigV4Auth(credentials, _SERVICE, region).add_auth(request)
    return dict(request.headers.items())
