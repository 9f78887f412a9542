"""Turns a seccomp profile in Docker's format into the kernel's own filter program, with the system's libseccomp."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from app.infrastructure.sandboxes.contract import SandboxUnavailable

try:
    import pyseccomp
except (ImportError, OSError, RuntimeError):  # the binding looks for the C library while it is imported
    pyseccomp = None

INSTRUCTION = struct.Struct("=HBBI")
"""One `struct sock_filter`: code, jump if true, jump if false, operand."""
LOAD_WORD, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
NUMBER, ARCHITECTURE = 0, 4
"""Offsets in `struct seccomp_data`."""
X32_BIT = 0x40000000

ARCHITECTURES = {"SCMP_ARCH_X86_64": "X86_64", "SCMP_ARCH_AARCH64": "AARCH64"}


@cache
def compiled(profile: Path) -> bytes:
    """The filter program of a profile for this machine, compiled once per process."""
    if pyseccomp is None:
        raise SandboxUnavailable("libseccomp is missing; install it, for instance: apt-get install libseccomp2")
    return compile_profile(json.loads(profile.read_text()))


def compile_profile(profile: dict[str, Any]) -> bytes:
    """The filter program of a profile's contents."""
    refuse_other_machines(profile)
    rules = pyseccomp.SyscallFilter(action(profile["defaultAction"], profile.get("defaultErrnoRet", errno.EPERM)))
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for rule in profile["syscalls"]:
        add(rules, rule)
    return unknown_calls_prelude() + exported(rules)


def refuse_other_machines(profile: dict[str, Any]) -> None:
    """A profile speaks only of the architectures it names."""
    known = {getattr(pyseccomp.Arch, ARCHITECTURES[entry["architecture"]]) for entry in profile["archMap"]}
    if pyseccomp.system_arch() not in known:
        raise SandboxUnavailable("The seccomp profile does not know this machine's processor architecture")


def action(name: str, number: int) -> int:
    """libseccomp's word for one of the profile's actions."""
    return int(pyseccomp.ERRNO(number)) if name == "SCMP_ACT_ERRNO" else {"SCMP_ACT_ALLOW": pyseccomp.ALLOW}[name]


def add(rules: pyseccomp.SyscallFilter, rule: dict[str, Any]) -> None:
    """Add one rule for each of its calls that this machine and its libseccomp know."""
    arguments = [comparison(entry) for entry in rule.get("args", ())]
    for name in rule["names"]:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(action(rule["action"], rule.get("errnoRet", errno.EPERM)), name, *arguments)


def comparison(entry: dict[str, Any]) -> pyseccomp.Arg:
    """One condition on a call's argument."""
    operator = getattr(pyseccomp, entry["op"].removeprefix("SCMP_CMP_"))
    return pyseccomp.Arg(entry["index"], operator, entry["value"], entry.get("valueTwo", 0))


def exported(rules: pyseccomp.SyscallFilter) -> bytes:
    """The bytes libseccomp writes."""
    with os.fdopen(os.memfd_create("seccomp"), "r+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def unknown_calls_prelude() -> bytes:
    """Instructions ahead of libseccomp's: calls newer than its tables are "not implemented", not "forbidden".

    A C library falls back to an older call on ENOSYS alone.
    """
    newest = max(known_numbers())
    steps = (
        (LOAD_WORD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 0, 4, pyseccomp.system_arch()),
        (LOAD_WORD, 0, 0, NUMBER),
        (JUMP_GREATER_EQUAL, 2, 0, X32_BIT),
        (JUMP_GREATER, 0, 1, newest),
        (RETURN, 0, 0, pyseccomp.ERRNO(errno.ENOSYS)),
    )
    return b"".join(INSTRUCTION.pack(*step) for step in steps)


def known_numbers() -> Iterator[int]:
    """Every call number of this machine that libseccomp has a name for."""
    for number in range(1024):
        try:
            pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, number)
        except ValueError:
            continue
        yield number
