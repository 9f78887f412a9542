"""What a sandbox can see and reach, tried from inside."""

import errno
import os
import shutil
import socket
from pathlib import Path

import pytest

from app.infrastructure.sandboxes.contract import Mount
from app.infrastructure.unix_sockets import reachable
from tests.sandboxes.boxes import ROOT, Box
from tests.sandboxes.conftest import CANARY, Make

# --- identity ---------------------------------------------------------------------------------------------------------


async def test_the_agent_is_an_unprivileged_user_inside(box: Box):
    assert await box.python("import os; result = [os.getuid(), os.geteuid(), os.getgid(), os.getegid()]") == [1000] * 4
    assert (await box.command("id", "-un")).out.strip() == "agent"


async def test_every_process_inside_has_no_capability_and_is_under_the_filter(box: Box):
    statuses = await box.python(
        "import glob; result = [dict(line.rstrip('\\n').split(':\\t', 1) for line in open(name))"
        " for name in glob.glob('/proc/[0-9]*/status')]"
    )
    assert len(statuses) >= 2
    for status in statuses:
        capabilities = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert set(capabilities.values()) == {"0" * 16}, status["Name"]
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]


async def test_sandboxes_started_by_root_have_different_uids(make: Make):
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has one uid for all")
    uids = {(await make()).sandbox.peer_uid for _ in range(3)}
    assert len(uids) == 3
    assert 0 not in uids


async def test_the_gateway_sees_the_promised_uid_as_its_peer(box: Box):
    with reachable(box.sandbox.gateway_folder) as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/gateway.sock")
        Path(folder, "gateway.sock").chmod(0o666)
        listener.listen()
        await box.python("import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/gateway/gateway.sock')")
        with listener.accept()[0] as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert int.from_bytes(credentials[4:8], "little") == box.sandbox.peer_uid
        Path(folder, "gateway.sock").unlink()


# --- what can be seen -------------------------------------------------------------------------------------------------


async def test_nothing_of_the_host_but_its_programs_can_be_seen(box: Box):
    top = await box.python("import os; result = [os.listdir('/'), os.listdir('/home'), os.listdir('/run')]")
    system = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt"}
    assert set(top[0]) <= system | {"dev", "proc", "home", "run", "tmp", "var", "workspace"}
    assert top[1] == ["agent"]
    assert sorted(top[2]) == ["control", "gateway"]


@pytest.mark.parametrize(
    "path", ["/root", "/var/run/docker.sock", "/run/dbus", "/run/systemd", "/sys/fs/cgroup", "/boot"]
)
async def test_the_hosts_doors_are_not_there(box: Box, path: str):
    assert await box.python(f"import os; result = os.path.lexists({path!r})") is False


async def test_the_checkout_and_the_state_folder_are_not_there(box: Box):
    hidden = [str(ROOT), str(box.workspace), str(box.sandbox.control_folder), str(Path.home())]
    assert await box.python(f"import os; result = [os.path.exists(path) for path in {hidden}]") == [False] * 4


async def test_etc_holds_no_account_of_the_host_and_no_shadow(box: Box):
    assert (await box.command("cut", "-d:", "-f1", "/etc/passwd")).out.split() == ["root", "agent", "nobody"]
    assert (await box.command("ls", "/etc/shadow", "/etc/ssh", "/etc/ssl/private")).out == ""


async def test_no_process_inside_has_the_backends_environment(box: Box):
    environments = await box.python(
        "import glob; result = [open(name, 'rb').read().decode() for name in glob.glob('/proc/[0-9]*/environ')]"
    )
    assert os.environ["SANDBOX_TEST_SECRET"] == CANARY
    assert not [text for text in environments if CANARY in text]


async def test_the_environment_is_what_was_given_and_nothing_else(make: Make):
    box = await make(environment={"COLOUR": "green"})
    names = set(await box.python("import os; result = dict(os.environ)"))
    ours = {"RUNNER_CONTROL_DIR", "RUNNER_GATEWAY_DIR", "RUNNER_WORKSPACE", "COLOUR"}
    ordinary = {"PATH", "HOME", "USER", "LANG", "TZ", "PWD", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert ours <= names <= ours | ordinary


async def test_no_descriptor_of_the_backend_is_inherited(box: Box):
    assert await box.python("result = inherited") == []


async def test_processes_of_the_host_and_of_other_sandboxes_are_out_of_sight(make: Make):
    first, second = await make(), await make()
    for box in (first, second):
        names = await box.python(
            "import glob; result = [open(name, 'rb').read().decode() for name in glob.glob('/proc/[0-9]*/cmdline')]"
        )
        assert len(names) == 2, names
    await first.python("open('/tmp/mark', 'w').close()")
    assert await second.python("import os; result = os.listdir('/tmp')") == []


async def test_memory_of_another_process_cannot_be_changed_into_an_escape(box: Box):
    """Same uid, so the memory of the first process may be open; what counts is that it is under the same filter."""
    status = await box.python("result = open('/proc/1/status').read()")
    assert "Seccomp:\t2" in status


# --- what can be written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    [
        "/",
        "/usr",
        "/usr/local/bin",
        "/etc",
        "/opt",
        "/opt/bin",
        "/opt/runner/runner",
        "/run",
        "/run/gateway",
        "/dev",
        "/proc",
        "/var",
    ],
)
async def test_only_the_given_places_can_be_written(box: Box, folder: str):
    number = await box.refused(f"open('{folder}/mark', 'w')")
    assert number in {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}


async def test_the_workspace_is_the_hosts_folder_and_the_agents_own(make: Make, tmp_path: Path):
    workspace = tmp_path / "given"
    (workspace / "folder").mkdir(parents=True)
    (workspace / "folder" / "notes.txt").write_text("from outside")
    box = await make(workspace=workspace)
    assert (await box.command("cat", "folder/notes.txt")).out == "from outside"
    assert (
        await box.command("sh", "-c", "echo inside >> folder/notes.txt && mkdir more && echo new > more/file")
    ).code == 0
    assert (workspace / "more" / "file").read_text() == "new\n"
    assert (workspace / "folder" / "notes.txt").read_text() == "from outsideinside\n"


async def test_a_mount_is_shown_read_only(make: Make, tmp_path: Path):
    (tmp_path / "skill").mkdir()
    (tmp_path / "skill" / "SKILL.md").write_text("how to")
    box = await make(mounts=(Mount(tmp_path / "skill", "/home/agent/.claude/skills/one"),))
    assert (await box.command("cat", "/home/agent/.claude/skills/one/SKILL.md")).out == "how to"
    assert "Read-only" in (await box.command("touch", "/home/agent/.claude/skills/one/more")).err
    assert (await box.command("touch", "/home/agent/.claude/own")).code == 0


async def test_no_mount_lets_setuid_programs_or_devices_in(box: Box):
    lines = await box.python("result = open('/proc/self/mountinfo').read().splitlines()")
    mounts = {fields[4]: set(fields[5].split(",")) for fields in (line.split() for line in lines)}
    assert {"nosuid", "nodev", "rw"} <= mounts["/workspace"]
    assert {"nosuid", "nodev", "ro"} <= mounts["/"] & mounts["/usr"] & mounts["/run/gateway"]
    assert all("nosuid" in options for options in mounts.values())
    assert {place for place, options in mounts.items() if "nodev" not in options} <= {
        *(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "pts")),
    }


async def test_the_hosts_settings_cannot_be_written(box: Box):
    writable = await box.python(
        "import os\nresult = []\n"
        "for folder, _, names in os.walk('/proc/sys'):\n"
        "    for name in names:\n"
        "        try: os.close(os.open(f'{folder}/{name}', os.O_WRONLY)); result.append(f'{folder}/{name}')\n"
        "        except OSError: pass\n"
    )
    assert writable == []
    assert await box.python("import os; result = os.access('/proc/sysrq-trigger', os.W_OK)") is False
    assert await box.python("import os; result = os.path.exists('/proc/sys/kernel/core_pattern')")


async def test_the_gateways_socket_cannot_be_replaced(box: Box):
    with reachable(box.sandbox.gateway_folder) as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/gateway.sock")
        try:
            for attempt in (
                "os.unlink('/run/gateway/gateway.sock')",
                "os.rename('/run/gateway/gateway.sock', '/run/gateway/other')",
                "os.rename('/run/gateway', '/run/other')",
                "os.chmod('/run/gateway/gateway.sock', 0)",
                "os.symlink('/tmp', '/run/gateway/link')",
                "socket.socket(socket.AF_UNIX).bind('/run/gateway/second.sock')",
            ):
                assert await box.refused(attempt) in {errno.EROFS, errno.EPERM, errno.EACCES, errno.EBUSY}, attempt
        finally:
            Path(folder, "gateway.sock").unlink()


async def test_files_cannot_be_linked_or_moved_out_of_their_mount(box: Box):
    for attempt in (
        "os.link('/etc/passwd', '/workspace/passwd')",
        "os.rename('/run/control/control.sock', '/workspace/s')",
    ):
        assert await box.refused(attempt) in {errno.EXDEV, errno.EPERM, errno.EROFS}


# --- what must work ---------------------------------------------------------------------------------------------------


async def test_python_runs_with_processes_threads_and_its_library(box: Box):
    done = await box.script(
        "import multiprocessing, sqlite3, ssl, ctypes, tempfile, threading, asyncio, os\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: print(sum(pool.map(abs, [-1, 2, -3])))\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n"
        "print(sqlite3.connect('/tmp/base').execute('select 1').fetchone()[0])\n"
        "async def main(): return await (await asyncio.create_subprocess_exec('true')).wait()\n"
        "print(asyncio.run(main()))\n"
    )
    assert (done.code, done.out.split()) == (0, ["6", "1", "0"]), done.err


async def test_the_agents_python_does_not_see_the_runners_packages(box: Box):
    done = await box.script("import sys; print([path for path in sys.path if path.startswith('/opt/runner')])")
    assert done.out == "[]\n"
    assert (await box.script("import runner")).code != 0


async def test_git_and_the_shell_work_in_the_workspace(make: Make):
    box = await make()
    identity = "-c user.name=a -c user.email=a@b"
    done = await box.command(
        "bash", "-c", f"git init -q . && echo x > f && git add f && git {identity} commit -qm one && git log --oneline"
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(" one\n")
    assert (await box.command("bash", "-c", "cat <(echo sub) | tr a-z A-Z; stat -c %U .")).out == "SUB\nagent\n"


@pytest.mark.skipif(not (shutil.which("node") or "").startswith("/usr/"), reason="no node under /usr")
async def test_node_works(box: Box):
    done = await box.command(
        "node",
        "-e",
        "const {Worker} = require('worker_threads'); const http = require('http');"
        "require('fs').writeFileSync('/tmp/n', 'x'); console.log(require('os').cpus().length > 0);"
        "const server = http.createServer((q, a) => a.end('ok')).listen(0, '127.0.0.1', () =>"
        " http.get({port: server.address().port, host: '127.0.0.1'}, a => { console.log(a.statusCode); server.close();"
        " new Worker('require(\"worker_threads\").parentPort.postMessage(7)', {eval: true})"
        "  .on('message', console.log); }));"
        "console.log(require('child_process').execSync('echo child').toString().trim());",
    )
    assert done.code == 0, done.err
    assert done.out.split() == ["true", "child", "200", "7"]


async def test_the_host_name_tells_nothing(box: Box):
    assert (await box.command("uname", "-n")).out.strip() == "sandbox"
