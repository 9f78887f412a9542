"""Renders a sandbox as argument lists for bubblewrap, setpriv and prlimit; nothing here touches the machine."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.infrastructure.sandboxes.contract import Limits
from app.infrastructure.sandboxes.local.host import Tools
from app.infrastructure.sandboxes.local.interpreter import INSIDE, Interpreter

AGENT_ID = "1000"
NEUTRAL = "/mnt"
"""Where root puts what the sandbox's own uid could not reach, in a mount namespace that nobody else sees."""

WORKSPACE = "/workspace"
NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup")
ENVIRONMENT = {
    "PATH": "/opt/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/home/agent",
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RUNNER_CONTROL_DIR": "/run/control",
    "RUNNER_GATEWAY_DIR": "/run/gateway",
    "RUNNER_WORKSPACE": WORKSPACE,
}
LOADER = "/opt/loader"
"""Folder with a link to libpython and nothing else, so that other programs' libraries stay the system's."""

BOOT = (
    "import os, sys, runpy; ready = int(sys.argv.pop()); os.write(ready, b'1'); os.close(ready); del ready; "
    "sys.path[:0] = ['/opt/runner', '/opt/runner/site-packages']; "
    "runpy.run_module('runner', run_name='__main__', alter_sys=True)"
)
"""First words of the interpreter: it says that it runs, then becomes the runner.

The runner's packages come in here and not by PYTHONPATH, so that the agent's own programs do not see them.
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A host folder shown inside."""

    source: str
    target: str
    writable: bool = False

    def arguments(self) -> tuple[str, str, str]:
        return ("--bind" if self.writable else "--ro-bind", self.source, self.target)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Inherited file descriptors: the filter to load, where to report, what to wait for, what to say when it runs."""

    seccomp: int
    info: int
    gate: int
    ready: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One sandbox, ready to be rendered."""

    tools: Tools
    system: tuple[str, ...]
    """Arguments for the system's folders, and, in `etc`, for its settings."""
    etc: tuple[str, ...]
    interpreter: Interpreter
    binds: tuple[Bind, ...]
    limits: Limits
    environment: Mapping[str, str]
    uid: int | None
    """The uid to become; none when an ordinary user starts the sandbox under its own."""


def command(plan: Plan, outer: int, inner: int, ready: int) -> list[str]:
    """The whole chain of programs; `outer` and `inner` are descriptors to read each bubblewrap's arguments from."""
    sandboxed = [plan.tools.bwrap, "--args", str(inner), "--", *program(plan, ready)]
    if plan.uid is None:
        return sandboxed
    identity = [f"--reuid={plan.uid}", f"--regid={plan.uid}", "--clear-groups", "--no-new-privs"]
    return [plan.tools.bwrap, "--args", str(outer), "--", plan.tools.setpriv, *identity, "--", *sandboxed]


def program(plan: Plan, ready: int) -> list[str]:
    """What runs inside: its limits, then the interpreter, cut off from every setting outside the runner's own."""
    limits = plan.limits
    sizes = {"nproc": limits.pids, "fsize": limits.file_bytes, "nofile": limits.open_files, "core": 0}
    resources = [f"--{name}={size}:{size}" for name, size in sizes.items()]
    return [plan.tools.prlimit, *resources, "--", plan.interpreter.executable, "-I", "-S", "-B", "-c", BOOT, str(ready)]


def arrangement(plan: Plan, descriptors: Descriptors) -> list[str]:
    """Arguments of root's bubblewrap: the neutral places, and a pid namespace that dies with the backend.

    A change of uid clears the parent-death signal. The first process of this namespace keeps its uid and its signal.
    """
    return [
        *("--die-with-parent", "--unshare-pid", *gate(descriptors), "--dev-bind", "/", "/", "--tmpfs", NEUTRAL),
        *flat(Bind(bind.source, neutral(n), bind.writable).arguments() for n, bind in enumerate(plan.binds)),
    ]


def sandbox(plan: Plan, descriptors: Descriptors) -> list[str]:
    """Arguments of the bubblewrap that makes the sandbox itself."""
    return [
        *(f"--unshare-{kind}" for kind in NAMESPACES),
        *("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--uid", AGENT_ID, "--gid", AGENT_ID, "--hostname", "sandbox"),
        *(() if plan.uid is not None else gate(descriptors)),
        *plan.system,
        *writable(plan),
        *flat(bind.arguments() for bind in reachable_binds(plan)),
        *plan.etc,
        *interpreter_links(plan.interpreter),
        *("--remount-ro", "/", "--chdir", WORKSPACE, "--seccomp", str(descriptors.seccomp)),
        *environment(plan),
    ]


def gate(descriptors: Descriptors) -> tuple[str, ...]:
    return ("--info-fd", str(descriptors.info), "--block-fd", str(descriptors.gate))


def neutral(number: int) -> str:
    return f"{NEUTRAL}/{number}"


def reachable_binds(plan: Plan) -> Iterable[Bind]:
    """The binds, from sources that the sandbox's own uid can reach."""
    if plan.uid is None:
        return plan.binds
    return [Bind(neutral(n), bind.target, bind.writable) for n, bind in enumerate(plan.binds)]


def writable(plan: Plan) -> list[str]:
    """Process and device folders and all that can be written without a bind, each of a given size."""
    limits = plan.limits
    own = any(bind.target == WORKSPACE for bind in plan.binds)
    return [
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
        *tmpfs("1777", "/dev/shm", limits),  # noqa: S108 - a path inside
        *("--remount-ro", "/dev"),
        *tmpfs("1777", "/tmp", limits),  # noqa: S108 - a path inside
        *("--symlink", "../tmp", "/var/tmp"),  # noqa: S108 - a path inside
        *tmpfs("0700", "/home/agent", limits),
        *(() if own else tmpfs("0755", WORKSPACE, limits)),
    ]


def tmpfs(mode: str, target: str, limits: Limits) -> tuple[str, ...]:
    return ("--perms", mode, "--size", str(limits.tmpfs_bytes), "--tmpfs", target)


def interpreter_links(interpreter: Interpreter) -> list[str]:
    """`python3` first on the PATH, and libpython where the loader is told to look."""
    links = [(interpreter.executable, f"/opt/bin/{name}") for name in ("python", "python3")]
    if interpreter.library:
        links.append((interpreter.library, f"{LOADER}/{Path(interpreter.library).name}"))
    return flat(("--symlink", source, target) for source, target in links)


def environment(plan: Plan) -> list[str]:
    """All of the environment; nothing of the backend's own is handed down."""
    loader = {"LD_LIBRARY_PATH": LOADER} if plan.interpreter.library else {}
    variables = ENVIRONMENT | loader | dict(plan.environment)
    return ["--clearenv", *flat(("--setenv", name, value) for name, value in variables.items())]


def interpreter_binds(interpreter: Interpreter) -> tuple[Bind, ...]:
    return (Bind(str(interpreter.prefix), INSIDE),) if interpreter.prefix else ()


def flat(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return [part for group in groups for part in group]


def encoded(arguments: Iterable[str]) -> bytes:
    """Arguments as bubblewrap reads them from a descriptor, out of sight of the machine's process list."""
    words = list(arguments)
    if any("\0" in word for word in words):
        raise ValueError("An argument of a sandbox holds a NUL character")
    return b"".join(os.fsencode(word) + b"\0" for word in words)
