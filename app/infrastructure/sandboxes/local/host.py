"""What this machine offers: the programs, the system's folders, and why a sandbox could not start."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.infrastructure.sandboxes.contract import SandboxUnavailable

OLDEST_BUBBLEWRAP = (0, 8)
PACKAGES = {"bwrap": "bubblewrap", "setpriv": "util-linux", "prlimit": "util-linux"}
ROOT_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
"""What ordinary programs read there and no machine keeps secrets in."""

APPARMOR_RESTRICTION = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
NAMESPACE_SWITCH = Path("/proc/sys/kernel/unprivileged_userns_clone")
NAMESPACE_LIMIT = Path("/proc/sys/user/max_user_namespaces")


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs by absolute path."""

    bwrap: str
    setpriv: str
    prlimit: str


def find_tools() -> Tools:
    """The programs a sandbox is started with."""
    tools = Tools(**{name: find_program(name) for name in PACKAGES})
    version = bubblewrap_version(tools.bwrap)
    if version < OLDEST_BUBBLEWRAP:
        found = ".".join(map(str, version))
        raise SandboxUnavailable(f"bubblewrap 0.8 or newer is needed, {tools.bwrap} is {found}; install a newer one")
    return tools


def find_program(name: str) -> str:
    """A program, also where a service's short PATH leaves out its folder."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        package = PACKAGES[name]
        raise SandboxUnavailable(f"{name} is missing; install it, for instance: apt-get install {package}")
    return str(Path(found).resolve())


def bubblewrap_version(bwrap: str) -> tuple[int, ...]:
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=10, check=False, env={})
    number = re.search(r"(\d+)\.(\d+)", said.stdout)
    if number is None:
        raise SandboxUnavailable(f"{bwrap} does not say its version: {said.stderr.strip()}")
    return tuple(map(int, number.groups()))


def system_root() -> tuple[str, ...]:
    """bubblewrap's arguments for the system's programs and libraries, read-only."""
    present = [Path(name) for name in ROOT_FOLDERS if Path(name).exists()]
    return ("--ro-bind", "/usr", "/usr", *(part for folder in present for part in root_folder(folder)))


def root_folder(folder: Path) -> tuple[str, str, str]:
    """A folder of the root, which on most machines is a link into /usr."""
    if folder.is_symlink():
        return ("--symlink", str(folder.readlink()), str(folder))
    return ("--ro-bind", str(folder), str(folder))


def etc_entries() -> tuple[str, ...]:
    return tuple(name for name in ETC if Path(name).exists())


def system_etc() -> tuple[str, ...]:
    """bubblewrap's arguments for the system's own settings that ordinary programs read."""
    return tuple(part for name in etc_entries() for part in ("--ro-bind", name, name))


def explain(said: str) -> str:
    """Why a sandbox did not start, and what to do about it, from what the programs said."""
    advice = next((advice for sign, advice in ADVICE if sign in said and advice), "")
    return f"A sandbox did not start: {said.strip() or 'no reason given'}{restriction()}{advice}"


ADVICE = (
    ("mount proc", ". Inside a container, it must run with its /proc unmasked (Docker: systempaths=unconfined)"),
    ("No space left on device", ". The machine's limit of namespaces is reached (sysctl user.max_*_namespaces)"),
)


def restriction() -> str:
    """The settings that keep this user from making user namespaces."""
    if reads(APPARMOR_RESTRICTION) == "1":
        return (
            ". AppArmor restricts user namespaces here: give bwrap a profile that allows `userns`, "
            "or set sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if reads(NAMESPACE_SWITCH) == "0":
        return ". User namespaces are switched off: set sysctl kernel.unprivileged_userns_clone=1"
    if reads(NAMESPACE_LIMIT) == "0":
        return ". User namespaces are switched off: set sysctl user.max_user_namespaces=10000"
    return ""


def reads(file: Path) -> str | None:
    return file.read_text().strip() if file.exists() else None


def is_root() -> bool:
    return os.geteuid() == 0
