"""Answers each line on the control socket: runs Python text in this process, or a command."""

import json
import os
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path


def descriptors():
    """What is open besides the standard three and the listing itself."""
    links = [link for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2]
    return [str(link.readlink()) for link in links if link.is_symlink()]


def python(text):
    names = {"inherited": INHERITED}
    try:
        exec(text, names)
    except BaseException:  # noqa: BLE001 - the test wants to see whatever happened
        return {"error": traceback.format_exc()}
    return {"result": names.get("result")}


def command(words):
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd="/workspace"
    )
    return {"result": {"code": done.returncode, "out": done.stdout, "err": done.stderr}}


def serve(connection):
    with connection, connection.makefile("rw") as lines:
        for line in lines:
            request = json.loads(line)
            answer = python(request["python"]) if "python" in request else command(request["command"])
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def main():
    sys.stderr.write("the probe is up\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["RUNNER_CONTROL_DIR"] + "/control.sock")
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


INHERITED = descriptors()
main()
