"""What can go wrong with an embedded service, in words for the operator."""

from pathlib import Path


class EmbeddedServiceError(Exception):
    """An embedded service cannot run; the message says why and what to do."""


class FolderInUse(EmbeddedServiceError):
    """Another program uses the data folder."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"by process {pid}" if pid else "by a server that does not end"
        super().__init__(f"{folder} is in use {holder}; end it first, or use another data folder")
        self.folder = folder
        self.pid = pid
