"""The page of errors lists every code, and no other."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import TypeVar

from control_plane.errors import HoldfastError
from runtimes.errors import RuntimeFailure
from tests.architecture.source import Module, product
from tests.docs.markdown import Document

PAGE = Document("docs/errors.md")
API = "Answers of the API"
EXECUTIONS = "Errors of executions"
WARNINGS = "Warnings"
#: What the command makes its own errors with.
COMMANDS = ("CliError", "ChangeRefused")

Kind = TypeVar("Kind", bound=Exception)

for module in product():
    if module.path.endswith("errors.py"):
        import_module(module.path.removesuffix(".py").replace("/", "."))


def test_every_code_of_the_api_is_documented_with_its_status() -> None:
    expected = {(kind.code, str(kind.status)) for kind in answers()}

    assert rows(API) == expected


def test_every_code_of_executions_is_documented_with_its_retries() -> None:
    failures = {(kind.code, "yes" if kind.retryable else "no") for kind in (RuntimeFailure, *below(RuntimeFailure))}
    constants = {code for module in product() for code in literal_codes(module, "ExecutionError")}

    assert failures <= rows(EXECUTIONS)
    assert constants | {code for code, _ in failures} == {code for code, _ in rows(EXECUTIONS)}


def test_every_code_of_a_warning_is_documented() -> None:
    constants = {code for module in product() for code in literal_codes(module, "Notice")}
    errors = {code for heading in (API, EXECUTIONS) for code in PAGE.first_column(heading)}

    assert constants <= set(PAGE.first_column(WARNINGS)) <= constants | errors


def test_every_code_of_the_command_is_documented() -> None:
    written = {code for module in product() for kind in COMMANDS for code in literal_codes(module, kind)}
    table = Document("docs/cli.md").text.partition("in `code`:\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == written


def test_no_code_is_listed_twice() -> None:
    for heading in (API, EXECUTIONS, WARNINGS):
        listed = PAGE.first_column(heading)

        assert sorted(set(listed)) == sorted(listed)


def rows(heading: str) -> set[tuple[str, str]]:
    """Code and second column of a table."""
    section = PAGE.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \| (\w+) \|", section, re.MULTILINE))


def answers() -> Iterator[type[HoldfastError]]:
    """The errors that are really answered: those without kinds of their own, and those that are raised as they are."""
    raised = {name for module in product() for name in called(module)}
    for kind in below(HoldfastError):
        if not kind.__subclasses__() or kind.__name__ in raised:
            yield kind


def below(kind: type[Kind]) -> Iterator[type[Kind]]:
    """All kinds of an error."""
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def called(module: Module) -> Iterator[str]:
    """Names that a module calls."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def literal_codes(module: Module, kind: str) -> Iterator[str]:
    """Codes that a module writes down where it makes errors of a kind."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind:
            values = [word.value for word in node.keywords if word.arg == "code"]
            yield from (
                value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
            )
