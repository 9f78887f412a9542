"""Run inside a sandbox: looks for a word, given in two halves, wherever a secret could have got to."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TOPS = ("/workspace", "/home", "/run", "/tmp", "/etc", "/var", "/opt/runner/runner")
GATEWAY = "/run/gateway/gateway.sock"
REQUESTS = ("GET / HTTP/1.1", "POST /model/x/invoke HTTP/1.1", "GET /model/../../x HTTP/1.1", "\0")
HEADERS = "\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LARGEST_MAPPING = 1 << 28


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def files() -> Iterator[Path]:
    for top in TOPS:
        for folder, _, names in os.walk(top):
            yield from (path for name in names if (path := Path(folder, name)).is_file())


def processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def memory(process: Path) -> Iterator[bytes]:
    """Every writable part of a process's memory, as far as it can be read."""
    for line in read(process / "maps").decode().splitlines():
        place, mode = line.split()[:2]
        begin, end = (int(number, 16) for number in place.split("-"))
        if "rw" in mode and end - begin <= LARGEST_MAPPING:
            with suppress(OSError, ValueError), (process / "mem").open("rb") as file:
                file.seek(begin)
                yield file.read(end - begin)


def answers() -> Iterator[bytes]:
    """What the gateway says to requests it must refuse."""
    for request in REQUESTS:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(3)
            client.connect(GATEWAY)
            client.sendall((request + HEADERS).encode())
            while chunk := client.recv(65536):
                yield chunk


def main() -> None:
    word = re.compile("".join(sys.argv[1:]).encode(), re.IGNORECASE)
    looked, others = list(files()), [one for one in processes() if one.name != str(os.getpid())]
    found = [name for name, value in os.environ.items() if word.search(f"{name}={value}".encode())]
    found += [str(path) for path in looked if word.search(read(path))]
    found += [str(one / name) for one in others for name in ("environ", "cmdline") if word.search(read(one / name))]
    read_bytes = 0
    for one in others:
        for part in memory(one):
            read_bytes += len(part)
            found += [f"memory of {one.name}"] if word.search(part) else []
    said = b"".join(answers())
    found += [f"answers {said!r}"] if word.search(said) else []
    counts = (len(looked), len(others), said.count(b"HTTP/1.1 "), read_bytes)
    sys.stdout.write(f"{' '.join(map(str, counts))} found {found}\n")


if __name__ == "__main__":
    main()
