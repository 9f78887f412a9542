"""Unix socket addresses that stay under the kernel's 107 bytes, however deep the folder lies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable(folder: Path) -> Iterator[str]:
    """A short name for an existing folder, good in this process for as long as the block lasts."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
