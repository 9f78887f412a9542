"""Multipart forms, byte by byte."""

import json
from dataclasses import dataclass

MEBIBYTE = 1024 * 1024
BOUNDARY = "a-boundary"
ASKED = {"user_input": "hello", "executor": {"user_id": "ann", "name": "Ann", "email": "ann@acme.example"}}


@dataclass(frozen=True)
class Part:
    """One part of a form, spelled as a test wants it."""

    name: str
    content: bytes
    filename: str | bytes | None = None
    content_type: str | None = None

    def bytes(self) -> bytes:
        disposition = f'form-data; name="{self.name}"'.encode()
        if self.filename is not None:
            spelled = self.filename if isinstance(self.filename, bytes) else self.filename.encode()
            disposition += b'; filename="' + spelled + b'"'
        declared = f"Content-Type: {self.content_type}\r\n".encode() if self.content_type else b""
        head = b"Content-Disposition: " + disposition + b"\r\n" + declared
        return b"--" + BOUNDARY.encode() + b"\r\n" + head + b"\r\n" + self.content + b"\r\n"


def file(filename: str | bytes = "a.txt", content: bytes = b"one", content_type: str | None = None) -> Part:
    return Part("files", content, filename, content_type)


def field(name: str, value: object) -> Part:
    return Part(name, value if isinstance(value, bytes) else json.dumps(value).encode())


def told(relative_path: str = "a.txt", **fields: object) -> dict[str, object]:
    names = dict.fromkeys(("filename", "original_name", "original_relative_path"), "a.txt")
    return names | {"relative_path": relative_path} | fields


def body(*parts: Part, asked: object = ASKED) -> bytes:
    whole = (field("request_data", asked), *parts)
    return b"".join(part.bytes() for part in whole) + f"--{BOUNDARY}--\r\n".encode()


def typed(boundary: str = BOUNDARY, **headers: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"} | headers
