"""The host's credentials for the model service; they never leave this process but as signatures."""

import asyncio
import ipaddress
import logging
import time
from urllib.parse import urlsplit

import structlog
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from app.config import ModelService
from app.errors import ServiceUnavailable

log = structlog.get_logger()

RENEWAL_PAUSE = 30.0
"""Seconds between two attempts to renew credentials that are still good for a while."""

logging.getLogger("botocore").setLevel(logging.WARNING)
"""Its debug lines hold session tokens."""


def is_loopback(url: str | None) -> bool:
    """Whether a base URL leads to this machine itself."""
    host = urlsplit(url or "").hostname
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class CredentialSource:
    """Static credentials from the settings, else botocore's chain, asked off the event loop and kept until near expiry.

    An endpoint on loopback is never worth more than static credentials: without them calls to it go unsigned.
    """

    def __init__(self, settings: ModelService) -> None:
        self._static = _static(settings)
        self._unsigned = self._static is None and is_loopback(settings.bedrock_endpoint_url)
        self._found: Credentials | None = None
        self._frozen: ReadOnlyCredentials | None = None
        self._renew_after = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> ReadOnlyCredentials | None:
        """Credentials to sign with now; none when calls go unsigned. Raises `ServiceUnavailable`."""
        if self._static or self._unsigned:
            return self._static
        if self._frozen is None or self._is_ageing():
            async with self._lock:
                await self._renew()
        return self._frozen

    def forget(self) -> None:
        """The service did not accept them: look anew before the next call."""
        self._found = self._frozen = None

    def _is_ageing(self) -> bool:
        return (
            isinstance(self._found, RefreshableCredentials)
            and time.monotonic() >= self._renew_after
            and bool(self._found.refresh_needed())
        )

    async def _renew(self) -> None:
        if self._frozen is not None and not self._is_ageing():
            return
        self._renew_after = time.monotonic() + RENEWAL_PAUSE
        try:
            self._frozen = await asyncio.to_thread(self._resolve)
        except BotoCoreError as error:
            log.warning("model_service.credentials_failed", error=type(error).__name__)
            raise ServiceUnavailable("The model service cannot be called at the moment.") from None

    def _resolve(self) -> ReadOnlyCredentials:
        self._found = self._found or Session().get_credentials()
        if self._found is None:
            log.error("model_service.no_credentials")
            raise ServiceUnavailable("The model service cannot be called at the moment.")
        return self._found.get_frozen_credentials()


def _static(settings: ModelService) -> ReadOnlyCredentials | None:
    key, secret, token = settings.aws_access_key_id, settings.aws_secret_access_key, settings.aws_session_token
    if key is None or secret is None:
        return None
    return ReadOnlyCredentials(key.get_secret_value(), secret.get_secret_value(), token and token.get_secret_value())
