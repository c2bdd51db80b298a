"""How the CLI ends: its exit codes, and errors as people and programs read them."""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Documented in docs/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    CONFLICT = 5
    UNREACHABLE = 6
    TIMEOUT = 7
    CANCELLED = 8
    PARTIAL = 10
    BUG = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


#: By HTTP status; what is not listed is a usage error (4xx) or an API that does not work (5xx).
BY_STATUS = {
    401: ExitCode.AUTH,
    403: ExitCode.AUTH,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.TIMEOUT,
    409: ExitCode.CONFLICT,
    410: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    429: ExitCode.UNREACHABLE,
}

#: By the status of an execution.
BY_EXECUTION = {
    "completed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "timed_out": ExitCode.TIMEOUT,
    "cancelled": ExitCode.CANCELLED,
}


class CliError(Exception):
    """A command failed; `detail` says what happened, `hint` what to do, `checks` what was looked at."""

    def __init__(
        self,
        detail: str,
        *,
        exit_code: ExitCode,
        code: str,
        hint: str = "",
        checks: tuple[str, ...] = (),
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.exit_code = exit_code
        self.code = code
        self.hint = hint
        self.checks = checks
        self._problem = problem

    def as_problem(self) -> dict[str, Any]:
        """The API's problem document, or one of the same shape."""
        if self._problem is not None:
            return dict(self._problem)
        checks = {"checks": list(self.checks)} if self.checks else {}
        return {"title": "Command failed", "code": self.code, "detail": self.detail, "hint": self.hint} | checks

    def as_text(self) -> str:
        """What a person reads."""
        place = f" (at {self._problem['field']})" if self._problem and self._problem.get("field") else ""
        lines = [f"Error: {self.detail}{place}", *(f"  - {check}" for check in self.checks)]
        return "\n".join([*lines, *([self.hint] if self.hint else [])])

    def render(self, *, as_json: bool) -> str:
        """The text for stderr."""
        return json.dumps(self.as_problem(), ensure_ascii=False) if as_json else self.as_text()


def from_problem(status: int, problem: Mapping[str, Any]) -> CliError:
    """The API's answer that is no success."""
    fallback = ExitCode.USAGE if status < 500 else ExitCode.UNREACHABLE
    return CliError(
        str(problem.get("detail") or problem.get("title") or f"HTTP {status}"),
        exit_code=BY_STATUS.get(status, fallback),
        code=str(problem.get("code", f"http_{status}")),
        hint=str(problem.get("hint") or ""),
        problem=problem,
    )


def usage_error(detail: str, hint: str = "") -> CliError:
    """The command line or a setting cannot be used."""
    return CliError(detail, exit_code=ExitCode.USAGE, code="usage", hint=hint)


def settings_error(invalid: ValueError) -> CliError:
    """A setting cannot be used; the text says which, where it is set, and what to do."""
    return CliError(str(invalid), exit_code=ExitCode.USAGE, code="settings_invalid")


def require_workflows(extra: str) -> None:
    """Refuse to go on where Holdfast's workflows are not installed; `extra` brings them.

    Raises:
        CliError: they are not there, or the package of that name is another distribution's.
    """
    from control_plane.local.packages import foreign_packages, has_workflows

    if has_workflows():
        return
    others = foreign_packages().get("workflows")
    found = f": the package `workflows` here comes from {', '.join(others)}" if others else ""
    place = ", in an environment of its own" if others else ""
    raise CliError(
        f"Holdfast's workflows are not installed in this environment{found}.",
        exit_code=ExitCode.USAGE,
        code="workflows_missing",
        hint=f"pip install 'holdfast[{extra}]'{place}",
    )
