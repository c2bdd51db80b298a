"""What a command in the sandbox must not see, change or reach."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from runtimes.sandbox.command_line import ENVIRONMENT, Room
from services.sandbox.sandbox import Sandbox
from tests.services.sandbox.conftest import Bash


async def test_the_workers_environment_is_not_there(bash: Bash) -> None:
    ran = await bash("cat /proc/*/environ /proc/*/task/*/environ | tr '\\0' '\\n'")

    names = {line.partition("=")[0] for line in ran.output.splitlines() if "=" in line}
    assert names <= {*ENVIRONMENT, "PWD", "OLDPWD", "SHLVL", "_"}
    assert "PYTEST_CURRENT_TEST" in os.environ


async def test_only_its_own_processes_are_there(bash: Bash) -> None:
    ran = await bash("cd /proc; for p in [0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done; kill -9 -1; ls -l /proc/*/fd")

    assert "pytest" not in ran.output
    assert "bwrap" not in ran.output


@pytest.mark.parametrize("path", ["/root", "/home", "/var", "/run", "/sys", "/etc/shadow", "/etc/ssl/private", "/opt"])
async def test_the_rest_of_the_machine_is_not_there(bash: Bash, path: str) -> None:
    assert (await bash(f"ls -A {path}")).exit_code != 0


async def test_home_is_empty(bash: Bash) -> None:
    assert (await bash("ls -A ~ /tmp /dev/shm | grep -v :; echo end")).output.split() == ["end"]


@pytest.mark.parametrize("path", ["../secret.txt", "../other/notes.txt", "/proc/1/root{}/secret.txt", "{}/secret.txt"])
async def test_other_directories_are_out_of_reach(bash: Bash, workspace: Path, path: str) -> None:
    ran = await bash(f"cat {path.format(workspace.parent)}")

    assert ran.exit_code != 0
    assert "SECRET" not in ran.output


async def test_links_lead_nowhere(bash: Bash, workspace: Path) -> None:
    secret = workspace.parent / "secret.txt"

    ran = await bash(f"ln -s {secret} soft; cat soft; ln {secret} hard; ln /etc/passwd etc; ln /usr/bin/env env; ls")

    assert "SECRET" not in ran.output
    assert sorted(path.name for path in workspace.iterdir()) == ["soft"]


@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/usr/bin/env", "/etc/x", "/etc/passwd", "/dev/x", "/proc/sys/kernel/core_pattern"]
)
async def test_nothing_outside_the_workspace_can_be_written(bash: Bash, path: str) -> None:
    ran = await bash(f"echo x >> {path}")

    assert ran.exit_code != 0


async def test_no_setting_of_the_kernel_can_be_written(bash: Bash) -> None:
    ran = await bash(
        "for f in $(find /proc -maxdepth 6 -type f -not -path '/proc/[0-9]*' -writable 2>/dev/null); do "
        "(exec 3>>$f) 2>/dev/null && echo $f; done; (echo 0 > /proc/self/oom_score_adj) 2>/dev/null && echo score"
    )

    assert ran.output == ""


async def test_the_devices_keep_their_modes(bash: Bash) -> None:
    mode = os.stat("/dev/null").st_mode

    ran = await bash("chmod 777 /dev/null /dev/full; echo works > /dev/null && head -c 4 /dev/urandom | wc -c")

    assert ran.output.endswith("4\n")
    assert os.stat("/dev/null").st_mode == mode


async def test_it_is_nobody_of_importance(bash: Bash) -> None:
    ran = await bash("id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status; unshare -U true || mount -t tmpfs x /tmp")

    assert ran.output.startswith("10001\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n")
    assert "unshare failed" in ran.output
    assert ran.exit_code != 0


@pytest.mark.parametrize("call", ["mknod dev b 8 0", "mknod dev c 1 1", "chown 0 .", "chroot . true", "hostname x"])
async def test_what_only_root_may_is_refused(bash: Bash, call: str) -> None:
    assert (await bash(call)).exit_code != 0


async def test_a_set_user_id_program_gives_nothing(bash: Bash) -> None:
    ran = await bash("cp /usr/bin/id mine; chmod 6755 mine; ./mine -u; su -c id </dev/null")

    assert ran.output.startswith("10001\n")
    assert "uid=0" not in ran.output


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_services_of_the_machine_cannot_be_reached(bash: Bash) -> None:
    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        ran = await bash(
            f"for to in 127.0.0.1/{port} ::1/{port} 169.254.169.254/80 1.1.1.1/53; do : </dev/tcp/$to; done"
        )

    assert ran.output.count("refused") + ran.output.count("unreachable") >= 3
    assert ran.exit_code != 0


async def test_abstract_sockets_of_the_machine_cannot_be_reached(bash: Bash) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0holdfast-test")
        listening.listen()
        ran = await bash("socat -u OPEN:/dev/null ABSTRACT-CONNECT:holdfast-test")

    assert "refused" in ran.output
    assert ran.exit_code != 0


async def test_names_are_not_resolved(bash: Bash) -> None:
    assert (await bash("getent ahosts secret.example.com")).exit_code != 0


async def test_what_it_leaves_is_the_workers(bash: Bash, workspace: Path) -> None:
    await bash("mkdir -p a/b; echo x > a/b/c; mkfifo pipe")

    assert (workspace / "a/b/c").read_text() == "x\n"
    assert (workspace / "a/b/c").stat().st_uid == os.getuid()
    assert stat.S_ISFIFO((workspace / "pipe").stat().st_mode)


async def test_directories_that_the_operator_names_can_be_read(sandbox: Sandbox, workspace: Path) -> None:
    room = Room(workspace, readable=[workspace.parent / "other"])

    ran = await sandbox.run(["bash", "-c", f"cat {workspace.parent}/other/*; rm {workspace.parent}/other/*"], room)

    assert ran.output.startswith("SECRET")
    assert (workspace.parent / "other" / "notes.txt").exists()
