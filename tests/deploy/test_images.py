"""The images: one of the control plane, and one of a worker for each runtime."""

import json
import re
import subprocess

from runtimes.manifests.known import KNOWN
from tests.architecture.source import ROOT

DOCKERFILE = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
#: What reaches the kernel, other processes, or the machine beyond what a namespace bounds.
DANGEROUS = {
    *("acct", "bpf", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("add_key", "keyctl", "request_key", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    *("io_uring_setup", "userfaultfd", "perf_event_open", "open_by_handle_at", "fanotify_init", "quotactl", "setns"),
    *("fsopen", "fsmount", "move_mount", "open_tree", "mount_setattr", "swapon", "iopl", "ioperm", "settimeofday"),
}
RUNTIMES = sorted(name for name in KNOWN if KNOWN[name].extra)


def stage(name: str) -> str:
    """What a stage does."""
    lines = DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0].splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_every_runtime_has_an_image() -> None:
    for name in RUNTIMES:
        assert stage(f"worker-{name.replace('_', '-')}").strip() == f'CMD ["worker", "--pool", "{name}"]'


def test_every_image_is_built_from_the_lock_of_its_runtime() -> None:
    for name in ("control_plane", *RUNTIMES):
        target = name.replace("_", "-") if name == "control_plane" else f"worker-{name.replace('_', '-')}"
        (command,) = (line for line in commands(target) if line.startswith("docker build"))
        assert f"--build-arg LOCK={name} " in command
        assert f"--target {target} " in command
        assert (ROOT / "locks" / f"{name}.txt").exists()


def test_make_builds_every_image() -> None:
    (listed,) = re.findall(r"^IMAGES := control-plane \$\(patsubst %,worker-%,(.*)\)$", makefile(), re.MULTILINE)

    assert sorted(listed.split()) == sorted(name.replace("_", "-") for name in RUNTIMES)


def test_packages_come_from_locks_with_hashes_and_are_not_built() -> None:
    installs = re.findall(r"^RUN \$INSTALL (.*)$", DOCKERFILE, re.MULTILINE)

    assert installs == ["--require-hashes --only-binary :all: -r lock.txt", "./*.whl"]
    assert "uv pip install --quiet --no-deps " in stage("packages")
    assert 'RUN [ "$LOCK" = control_plane ] || rm holdfast_workflows-*.whl\n' in stage("packages")


def test_nothing_runs_as_root() -> None:
    users = re.findall(r"^USER (.*)$", stage("base") + "\n" + stage("tools"), re.MULTILINE)

    assert users == ["10001:10001", "root", "10001:10001"]
    assert 'ENTRYPOINT ["/usr/bin/tini", "--", "holdfast"]' in stage("base")


def makefile() -> str:
    """How they are built."""
    return (ROOT / "Makefile").read_text()


def test_the_profile_of_the_sandbox_allows_what_bubblewrap_needs_and_little_else() -> None:
    profile = json.loads((ROOT / "deploy" / "images" / "seccomp-sandbox.json").read_text())
    allowed = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    sockets, *personalities = (rule for rule in profile["syscalls"] if "args" in rule)

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW"}
    assert allowed >= {"clone", "mount", "pivot_root", "sethostname", "umount2", "unshare"}
    assert allowed & DANGEROUS == set()
    assert (sockets["names"], sockets["args"][0]["value"], sockets["args"][0]["op"]) == (["socket"], 40, "SCMP_CMP_NE")
    assert {rule["names"][0] for rule in personalities} == {"personality"}


def commands(target: str) -> list[str]:
    """What make would run for a target."""
    ran = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = ran.stdout.replace("\\\n", " ").replace(" && ", "\n").replace("; ", "\n").splitlines()
    return [" ".join(line.split()) for line in lines]
