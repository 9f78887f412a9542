"""Answers each line on the control socket: runs Python text in this process, or a command."""

import json
import os
import socket
import subprocess
import sys
import threading
import traceback


def descriptors():
    """What is open besides the standard three and the listing itself."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd") if int(name) > 2]
    return [os.readlink(link) for link in links if os.path.lexists(link)]


INHERITED = descriptors()


def python(text):
    names = {"inherited": INHERITED}
    try:
        exec(text, names)
    except BaseException:
        return {"error": traceback.format_exc()}
    return {"result": names.get("result")}


def command(words):
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/workspace")
    return {"result": {"code": done.returncode, "out": done.stdout, "err": done.stderr}}


def serve(connection):
    with connection, connection.makefile("rw") as lines:
        for line in lines:
            request = json.loads(line)
            answer = python(request["python"]) if "python" in request else command(request["command"])
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def main():
    print("probe is up", file=sys.stderr, flush=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(os.environ["RUNNER_CONTROL_DIR"], "control.sock"))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
