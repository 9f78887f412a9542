"""System calls and sockets that a sandbox refuses, tried from inside."""

import asyncio
import errno
import platform
import signal
import socket

import pyseccomp
import pytest

from tests.sandboxes.boxes import Box

NEW_USER = 0x10000000

FORBIDDEN = {
    "acct": (0,),
    "add_key": (0, 0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "chroot": (0,),
    "clone": (NEW_USER | signal.SIGCHLD, 0, 0, 0, 0),
    "delete_module": (0, 0),
    "fanotify_init": (0, 0),
    "finit_module": (-1, 0, 0),
    "fsmount": (-1, 0, 0),
    "fsopen": (0, 0),
    "init_module": (0, 0, 0),
    "io_uring_enter": (-1, 0, 0, 0),
    "io_uring_register": (-1, 0, 0, 0),
    "io_uring_setup": (1, 0),
    "kcmp": (1, 1, 0, 0, 0),
    "kexec_file_load": (-1, -1, 0, 0, 0),
    "kexec_load": (0, 0, 0, 0),
    "keyctl": (0, 0, 0),
    "mount": (0, 0, 0, 0, 0),
    "mount_setattr": (-1, 0, 0, 0, 0),
    "move_mount": (-1, 0, -1, 0, 0),
    "name_to_handle_at": (-1, 0, 0, 0, 0),
    "open_by_handle_at": (-1, 0, 0),
    "open_tree": (-1, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "personality": (0x40000,),
    "pidfd_getfd": (-1, 0, 0),
    "pivot_root": (0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0),
    "ptrace": (0, 0, 0, 0),
    "quotactl": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "request_key": (0, 0, 0, 0),
    "seccomp": (0, 0, 0),
    "sethostname": (0, 0),
    "setns": (-1, 0),
    "settimeofday": (0, 0),
    "setuid": (0,),
    "swapon": (0, 0),
    "syslog": (3, 0, 0),
    "umount2": (0, 0),
    "unshare": (NEW_USER,),
    "userfaultfd": (0,),
    "vmsplice": (-1, 0, 0, 0),
}
NEWEST_CALL = 4000
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423

CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    got = libc.syscall(number, *map(ctypes.c_long, words))
    return ctypes.get_errno() if got == -1 else 0
"""


def number_of(name: str) -> int:
    return pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)


async def call(box: Box, number: int, *words: int) -> int:
    """The errno of a system call made inside."""
    return await box.python(f"{CALL}\nresult = call({number}, *{[int(word) for word in words]})")


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_dangerous_call_is_forbidden(box: Box, name: str):
    assert await call(box, number_of(name), *FORBIDDEN[name]) == errno.EPERM


async def test_clone3_and_calls_newer_than_the_filter_are_not_implemented(box: Box):
    assert await call(box, number_of("clone3"), 0, 0) == errno.ENOSYS
    assert await call(box, NEWEST_CALL) == errno.ENOSYS


async def test_a_new_namespace_is_refused_by_every_flag(box: Box):
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert await call(box, number_of("clone"), flag | signal.SIGCHLD, 0, 0, 0, 0) == errno.EPERM
        assert await call(box, number_of("unshare"), flag) == errno.EPERM


@pytest.mark.parametrize("request_number", [TIOCSTI, TIOCLINUX, TIOCSETD, TIOCSTI | 1 << 32])
async def test_terminal_tricks_are_refused_also_behind_unused_bits(box: Box, request_number: int):
    assert await call(box, number_of("ioctl"), 0, request_number, 0) == errno.EPERM


@pytest.mark.parametrize("family", [3, 16, 17, 29, 31, 38, 40, 44, -1])
async def test_other_socket_families_are_refused(box: Box, family: int):
    assert await call(box, number_of("socket"), family, socket.SOCK_RAW, 0) == errno.EPERM


async def test_raw_and_unusual_internet_sockets_are_refused(box: Box):
    for kind, protocol in (
        (socket.SOCK_RAW, 1),
        (socket.SOCK_SEQPACKET, 132),
        (socket.SOCK_STREAM, 132),
        (socket.SOCK_DGRAM, 136),
    ):
        assert await call(box, number_of("socket"), socket.AF_INET, kind, protocol) == errno.EPERM


async def test_devices_cannot_be_made_but_named_pipes_can(box: Box):
    attempt = "os.mknod('/workspace/device', stat.S_IFCHR | 0o600, os.makedev(1, 3))"
    assert await box.refused(attempt) == errno.EPERM
    assert (await box.command("mkfifo", "/tmp/pipe")).code == 0


X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="an x86-64 machine's other call tables")


@X86
async def test_a_32_bit_call_ends_the_process(box: Box):
    getpid = b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3".decode()
    done = await box.script(
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        f"page.write(b'{getpid}')\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()\n"
    )
    assert done.code in {-signal.SIGSYS, -signal.SIGSEGV}


@X86
async def test_a_call_by_the_x32_table_ends_the_process(box: Box):
    assert (await box.script(f"{CALL}\ncall(0x40000000 | 39)")).code == -signal.SIGSYS


# --- network ----------------------------------------------------------------------------------------------------------


async def test_there_is_no_network_but_the_private_loopback(box: Box):
    devices = await box.python("result = [line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line]")
    assert devices == ["lo"]
    assert await box.refused("socket.create_connection(('192.0.2.1', 443), 2)") == errno.ENETUNREACH
    with socket.create_server(("127.0.0.1", 0)) as hosts:
        attempt = f"socket.create_connection({hosts.getsockname()}, 2)"
        assert await box.refused(attempt) == errno.ECONNREFUSED


async def test_the_private_loopback_works(box: Box):
    text = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname()); client.sendall(b'hello')\n"
        "result = server.accept()[0].recv(5).decode()"
    )
    assert await box.python(text) == "hello"


async def test_names_outside_are_not_resolved(box: Box):
    async with asyncio.timeout(5):
        assert await box.refused("socket.getaddrinfo('example.com', 443)") in {socket.EAI_AGAIN, socket.EAI_NONAME}
    assert await box.python("import socket; result = socket.gethostbyname('localhost')") == "127.0.0.1"


async def test_the_hosts_abstract_sockets_are_out_of_reach(box: Box):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0sandbox-test-door")
        listener.listen()
        attempt = r"socket.socket(socket.AF_UNIX).connect('\0sandbox-test-door')"
        assert await box.refused(attempt) == errno.ECONNREFUSED
