"""The object store, on obstore: a bucket, or a folder of this machine."""

from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from app.config import ModelService, Objects
from app.errors import ServiceUnavailable

PROBE = "health/probe"


class ObjectStore:
    """Where files are kept."""

    def __init__(self, store: S3Store | LocalStore) -> None:
        self._store = store

    async def ping(self) -> None:
        """Look for an object that need not be there; raises `ServiceUnavailable`."""
        try:
            await obstore.head_async(self._store, PROBE)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise ServiceUnavailable from error


def open_objects(settings: Objects, aws: ModelService, folder: Path) -> ObjectStore:
    """The bucket of the settings, or else that folder."""
    if settings.s3_bucket_name:
        return ObjectStore(S3Store(settings.s3_bucket_name, region=aws.aws_region))
    folder.mkdir(parents=True, exist_ok=True)
    return ObjectStore(LocalStore(folder))
