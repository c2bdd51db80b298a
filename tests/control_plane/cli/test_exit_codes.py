"""How commands end, and what they say when they fail."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.cli.commands import COMMANDS
from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.api_server import Answer, ApiServer
from tests.control_plane.cli.conftest import HOLDFAST, Cli

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"
PROBLEM = {
    "title": "Not found",
    "code": "not_found",
    "detail": "There is no agent 'x'.",
    "hint": "holdfast agents list",
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (413, 2), (422, 2), (500, 6), (503, 6)],
)
def test_the_exit_code_says_what_kind_of_error_it_was(
    holdfast: Cli, api: ApiServer, status: int, expected: int
) -> None:
    api.on("GET /api/v1/agents/x", Answer(status, PROBLEM | {"status": status}))

    done = holdfast("agents", "get", "x")

    assert done.returncode == expected
    assert done.stderr == "Error: There is no agent 'x'.\nholdfast agents list\n"
    assert done.stdout == ""


FILES = [
    (b"[" * 100_000, "json_too_deep", "Objects and arrays may be nested 64 deep."),
    (b'{"a": 1, "a": 2}', "json_duplicate_key", "The key occurs more than once. (at /a)"),
    (b'{"a": NaN}', "number_out_of_range", "not finite. (at /a)"),
    (b'{"a": "\\u0000"}', "text_nul", "(at /a)"),
    (b"{", "json_invalid", "at line 1, column 2."),
    (b"\xff\xfe{", "usage", "byte 0 is no UTF-8."),
]


@pytest.mark.parametrize(("content", "code", "told"), FILES)
@pytest.mark.parametrize(
    "command",
    [
        ("agents", "create", "-f"),
        ("agents", "update", "x", "-f"),
        ("templates", "create", "-f"),
        ("run", "x", "hi", "--output-schema"),
    ],
)
def test_a_file_is_held_to_the_rules_of_the_api(
    holdfast: Cli, tmp_path: Path, command: tuple[str, ...], content: bytes, code: str, told: str
) -> None:
    (tmp_path / "given.json").write_bytes(content)

    done = holdfast(*command, str(tmp_path / "given.json"), "-o", "json")

    error = json.loads(done.stderr)
    assert (done.returncode, error["code"]) == (ExitCode.USAGE, code)
    assert error["detail"].startswith(f"{tmp_path}/given.json cannot be read")
    assert error["detail"].endswith(told)


def test_a_byte_order_mark_is_no_part_of_a_file(holdfast: Cli, api: ApiServer, tmp_path: Path) -> None:
    api.on("POST /api/v1/agents", Answer(422, {"code": "runtime_unknown", "detail": "It came.", "field": "/runtime"}))
    (tmp_path / "given.json").write_bytes(b'\xef\xbb\xbf{"name": "x"}')

    done = holdfast("agents", "create", "x", "--model", "a/b", "-f", str(tmp_path / "given.json"))

    assert done.stderr == "Error: It came. (at /runtime)\n"


def test_with_json_the_error_is_the_api_s_problem_document(holdfast: Cli, api: ApiServer) -> None:
    api.on("GET /api/v1/agents/x", Answer(404, PROBLEM | {"status": 404}))

    done = holdfast("agents", "get", "x", "-o", "json")

    assert json.loads(done.stderr) == PROBLEM | {"status": 404}


def test_an_error_in_the_body_names_the_field(holdfast: Cli, api: ApiServer) -> None:
    api.on("POST /api/v1/agents", Answer(422, {"code": "runtime_unknown", "detail": "Unknown.", "field": "/runtime"}))

    done = holdfast("agents", "create", "x", "--model", "a/b", "--runtime", "agnoo")

    assert done.stderr == "Error: Unknown. (at /runtime)\n"


def test_an_api_that_is_not_there_is_explained(tmp_path: Path) -> None:
    done = Cli(tmp_path, "http://127.0.0.1:9")("agents", "list")

    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr.splitlines() == [
        "Error: The Holdfast API at http://127.0.0.1:9 cannot be reached: connection refused.",
        "  - URL from --api-url, HOLDFAST_API_URL or holdfast.toml",
        f"  - local stack in {tmp_path}/data: not running",
        "Start the local stack with `holdfast up`, or name another API with --api-url or HOLDFAST_API_URL.",
    ]


def test_a_server_that_is_no_holdfast_is_recognised(holdfast: Cli, api: ApiServer) -> None:
    api.on("GET /api/v1/agents", Answer(stream="<html>hello</html>"))

    done = holdfast("agents", "list")

    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr == (
        f"Error: HTTP 200 from {api.url}/api/v1/agents?limit=50 is no answer of a Holdfast API.\n"
        "Name the API with --api-url or HOLDFAST_API_URL.\n"
    )


@pytest.mark.parametrize(("status", "body"), [(404, {"message": "Not Found"}), (404, ["x"]), (401, None), (302, "x")])
def test_a_failure_that_is_no_problem_document_comes_from_no_holdfast(
    holdfast: Cli, api: ApiServer, status: int, body: object
) -> None:
    api.on("GET /api/v1/agents", Answer(status, body))

    done = holdfast("agents", "list", "-o", "json")

    assert (done.returncode, json.loads(done.stderr)["code"]) == (ExitCode.UNREACHABLE, "not_an_api")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("agent",), "Did you mean 'agents'?"),
        (("agents", "lst"), "Did you mean 'list'?"),
        (("agents", "list", "--limit", "many"), "Invalid value for '--limit'"),
        (("agents", "list", "--lmit", "1"), "No such option: --lmit"),
        (("agents", "get"), "Missing argument"),
        (("worker",), "Give --workflows or --pool NAME."),
        (("migrate",), "Set HOLDFAST_DATABASE_URL"),
        (("api",), "HOLDFAST_DATABASE_URL"),
        (("run", "demo", "hi", "-m", "novalue"), "--metadata wants key=value"),
        (("agents", "create", "-f", "missing.json"), "missing.json cannot be read: No such file or directory."),
        (("agents", "create", "x"), "An agent has a name and a model."),
        (("agents", "update", "x"), "There is nothing to change."),
        (("agents", "get", ".."), "'..' is no name and no id."),
        (("status", "--config", "missing.toml"), "does not exist"),
    ],
)
def test_a_wrong_command_line_ends_with_two_and_says_what_is_wrong(
    holdfast: Cli, arguments: tuple[str, ...], message: str
) -> None:
    done = holdfast(*arguments)

    assert done.returncode == ExitCode.USAGE
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_usage_error_is_json_too(holdfast: Cli) -> None:
    done = holdfast("agents", "list", "--limit", "many", "--json")

    assert json.loads(done.stderr)["code"] == "usage"


def test_a_bad_setting_is_a_usage_error(holdfast: Cli) -> None:
    (holdfast.directory / "holdfast.toml").write_text("api_prot = 1\n")

    done = holdfast("agents", "list")

    assert done.returncode == ExitCode.USAGE
    assert "Did you mean 'api_port'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (("agents", "list"), ExitCode.OK, "Nothing found."),
        (("status",), ExitCode.NOT_FOUND, "Start it with `holdfast up`."),
        (("status", "--data-dir", "here"), ExitCode.USAGE, "the directory in which the command runs was deleted"),
    ],
)
def test_a_working_directory_that_was_deleted_is_no_bug(
    holdfast: Cli, api: ApiServer, arguments: tuple[str, ...], expected: ExitCode, message: str
) -> None:
    api.on("GET /api/v1/agents", Answer(body={"items": [], "next_cursor": None}))
    gone = holdfast.directory / "gone"
    gone.mkdir()
    command = ["sh", "-c", f"rmdir {gone} && exec {HOLDFAST} {' '.join(arguments)}"]

    done = subprocess.run(command, cwd=gone, env=holdfast.environment, capture_output=True, text=True, check=False)

    assert done.returncode == expected, done.stderr
    assert message in done.stderr


def test_status_of_a_stack_that_does_not_run_is_not_found(holdfast: Cli) -> None:
    done = holdfast("status")

    assert done.returncode == ExitCode.NOT_FOUND
    assert "Start it with `holdfast up`." in done.stderr


def test_reset_asks_and_without_anybody_to_ask_does_nothing(holdfast: Cli) -> None:
    data = holdfast.directory / "data"
    data.mkdir()
    (data / ".holdfast").touch()

    refused = holdfast("reset")
    done = holdfast("reset", "--yes")

    assert (refused.returncode, done.returncode) == (ExitCode.USAGE, ExitCode.OK)
    assert "Say --yes" in refused.stderr
    assert list(data.iterdir()) == []


def test_up_refuses_a_directory_with_something_else_in_it(holdfast: Cli) -> None:
    (holdfast.directory / "thesis.txt").touch()

    done = holdfast("up", "--data-dir", str(holdfast.directory))

    assert "is not empty and no data directory of Holdfast" in done.stderr
    assert done.returncode == ExitCode.UNREACHABLE


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_is_no_bug(holdfast: Cli, api: ApiServer, closed: str) -> None:
    api.on("GET /api/v1/agents", Answer(body={"items": [], "next_cursor": None}))

    done = subprocess.run(
        ["sh", "-c", f"{HOLDFAST} agents list -o json {closed}"],
        capture_output=True,
        text=True,
        check=False,
        env=holdfast.environment,
    )

    assert (done.returncode, done.stderr) == (ExitCode.OK, "")


def test_the_version_is_an_option_too(holdfast: Cli) -> None:
    asked, commanded = holdfast("--version"), holdfast("version")

    assert (asked.returncode, asked.stdout) == (ExitCode.OK, commanded.stdout)


def test_every_exit_code_is_documented() -> None:
    documented = set(map(int, re.findall(r"^\| (\d+) \|", DOCS.read_text(), re.MULTILINE)))

    assert documented == set(map(int, ExitCode))


@pytest.mark.parametrize("module", ["control_plane.cli.command_line", "typer", "pydantic", "httpx"])
def test_ctrl_c_while_python_loads_ends_it_without_a_word(module: str) -> None:
    script = (
        "import os, runpy, signal, sys\n"
        "class Typist:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Typist())\n"
        f"sys.argv = [{HOLDFAST!r}, 'agents', 'list', '--api-url', 'http://127.0.0.1:9']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr.strip()) == (ExitCode.INTERRUPTED, "", "")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = [{HOLDFAST!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(' '.join(sorted(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    heavy = {"rich", "httpx", "pydantic", "asyncio", "sqlalchemy", "temporalio", "fastapi", "psycopg", "structlog"}
    assert "Commands:" in done.stdout
    assert heavy & set(done.stderr.split()) == set()


def test_every_line_of_the_help_is_what_the_command_says_of_itself() -> None:
    for name, entry in COMMANDS.items():
        own = (entry.build(name).help or "").splitlines()[0]
        assert own == entry.help, name
