"""The operating system's user that PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: The one that the PostgreSQL wheel uses as well.
USER = "pgserver"


class AccountMissing(Exception):
    """There is no user that PostgreSQL could run as; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """A user other than ours."""

    name: str
    user: int
    group: int


def postgres_account(data: Path) -> Account | None:
    """Who PostgreSQL must run as: None for ourselves; as root the data's owner, else a user of its own.

    Raises:
        AccountMissing: the user does not exist and cannot be made, or the data belongs to somebody else.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise AccountMissing(f"{data} belongs to user {owner}, not to you. Run as root or name another directory.")
        return None
    entry = pwd.getpwuid(owner) if owner else _ensure_user()
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _ensure_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pass
    try:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise AccountMissing(
            f"PostgreSQL refuses to run as root and the user {USER} cannot be made ({reason.strip()})."
            f" Create a user named {USER}, or run `holdfast up` as an ordinary user."
        ) from error
    return pwd.getpwnam(USER)


def open_way(path: Path, say: Callable[[str], None]) -> None:
    """Let other users pass through the directories above `path`, without letting them list them."""
    for directory in path.absolute().parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)
            say(f"{directory}: mode {mode:o} is now {mode | stat.S_IXOTH:o}, for PostgreSQL, which cannot run as root.")


def let_read(tree: Path) -> None:
    """Let other users read and run what lies under `tree`."""
    for path in (tree, *tree.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        runnable = stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0
        path.chmod(mode | stat.S_IROTH | runnable)
