"""Where a Python interpreter appears inside a sandbox."""

from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/usr")
INSIDE = "/opt/python"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter as seen from the host and from inside."""

    prefix: Path | None
    """Host folder to show at `/opt/python`; none when the system's own interpreter is used."""
    executable: str
    """Its path inside."""
    library: str | None
    """Path inside of a shared libpython that the loader would not find by itself."""


def find_interpreter(python: Path) -> Interpreter:
    """Looks through links to the real interpreter and the folder it was installed to."""
    real = python.resolve()
    if real.is_relative_to(SYSTEM):
        return Interpreter(prefix=None, executable=str(real), library=None)
    prefix = real.parent.parent
    libraries = sorted((prefix / "lib").glob("libpython3.*.so.1.0"))
    return Interpreter(
        prefix=prefix,
        executable=f"{INSIDE}/bin/{real.name}",
        library=f"{INSIDE}/lib/{libraries[0].name}" if libraries else None,
    )
