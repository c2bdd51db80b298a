"""The measures of the house, kept on product code and tests alike. `pytest -s` prints the figures."""

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from tests.architecture.source import Function, Module, product, suite

PRODUCT = product()
TESTS = suite()
ALL = PRODUCT + TESTS

MAX_COMPLEXITY = 8
#: Said when a list of exceptions and the code differ.
SHRINKS = "the list only shrinks: keep to the rule, or take off what is gone"
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core"}

#: A tool function that must be refused for that.
UNTYPED = {"tests/services/tools/sample_functions.py untyped"}
#: Process edges, and calls into somebody else's code, with how often each says so.
BROAD_EXCEPTS = {
    "control_plane/api/guard.py": 1,
    "control_plane/cli/command_line.py": 1,
    "control_plane/frameworks.py": 1,
    "control_plane/reconciler.py": 1,
    "runtimes/import_paths.py": 1,
    "runtimes/langgraph_runtime.py": 1,
    "runtimes/openai_agents_runtime.py": 1,
    "services/conformance/suite.py": 1,
    "services/tools/gateway.py": 1,
}
#: Optional SDKs, imported where they are used. `control_plane/cli` may, to keep `--help` fast.
LATE_IMPORTS: dict[str, set[str]] = {
    "control_plane/tracing.py": {
        f"control_plane.trace_export{name}" for name in ("", ".exporting", ".temporal_plugin")
    },
    "services/tools/toolsets.py": {"services.tools.mcp_servers", "services.tools.mcp_servers.McpServers"},
}

MOCKS = {"Mock", "MagicMock", "AsyncMock", "create_autospec", "patch"}


def test_functions_are_short() -> None:
    lengths = [function.lines for function in functions(ALL)]

    figures = {"median": median(lengths), "95 %": percentile(lengths, 95), "longest": max(lengths)}
    show("lines of a function", figures, longest(functions(ALL)))

    assert figures["median"] <= 8
    assert figures["95 %"] <= 35
    assert figures["longest"] <= 50


def test_files_are_short() -> None:
    lengths = {module.path: module.lines for module in ALL}

    figures = {"median": median(lengths.values()), "95 %": percentile(lengths.values(), 95)}
    show("lines of a file", figures | {"longest": max(lengths.values())}, Counter(lengths).most_common(3))

    assert figures["95 %"] <= 400
    assert max(lengths.values()) <= 500


def test_functions_are_simple() -> None:
    complexity = Counter({function.place: function.complexity for function in functions(ALL)})
    complex_ones = {function.label for function in functions(ALL) if function.complexity > MAX_COMPLEXITY}

    show("ways through a function", {"median": median(complexity.values())}, complexity.most_common(3))

    assert complex_ones == set()


def test_comments_are_few_and_short() -> None:
    share = sum(len(module.comment_lines) for module in ALL) / sum(module.lines for module in ALL)

    show("lines with a comment", {"share": round(100 * share, 2)}, [])

    assert share <= 0.05
    assert [module.path for module in ALL if has_essay(module)] == []


def test_everything_is_annotated() -> None:
    bare = {function.label for function in functions(ALL) if not function.is_annotated}

    show("functions without types", {"bare": len(bare), "of": len(functions(ALL))}, [])

    assert bare == UNTYPED, SHRINKS


def test_tests_use_real_things() -> None:
    count = sum(function.node.name.startswith("test_") for function in functions(TESTS))
    mocks = [name for module in TESTS for name in names(module) if name in MOCKS]

    show("mocks", {"mocks": len(mocks), "tests": count}, [])

    assert len(mocks) <= count * 5 / 100


def test_broad_excepts_stand_at_process_edges_only() -> None:
    broad = Counter(module.path for module in ALL for node in ast.walk(module.tree) if is_broad_except(node))

    show("broad excepts", {"files": len(broad)}, broad.most_common())

    assert broad == BROAD_EXCEPTS, SHRINKS


def test_imports_stand_at_the_top() -> None:
    late = {
        module.path: set(names)
        for module in ALL
        if not module.name.startswith("control_plane.cli")
        and (names := [name for function in module.functions for name in function.imports()])
    }

    assert late == LATE_IMPORTS, SHRINKS


def test_modules_are_named_for_what_they_hold() -> None:
    vague = [module.path for module in ALL if FORBIDDEN_NAMES & set(module.name.split("."))]

    assert vague == []


def test_packages_hold_no_code() -> None:
    packages = [module for module in ALL if module.path.endswith("/__init__.py")]

    with_code = [package.path for package in packages if package.tree.body and not is_docstring_only(package)]

    assert with_code == []


def functions(modules: Iterable[Module]) -> list[Function]:
    """All functions of the modules."""
    return [function for module in modules for function in module.functions]


def percentile(values: Iterable[int], percent: int) -> int:
    """The smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]


def longest(among: Iterable[Function]) -> list[tuple[str, int]]:
    """The three longest functions."""
    return Counter({function.place: function.lines for function in among}).most_common(3)


def show(measure: str, figures: dict[str, float], worst: Sequence[tuple[str, int]]) -> None:
    """One line of the table, and what is nearest to the bound."""
    told = "  ".join(f"{name} {value}" for name, value in figures.items())
    print(f"\n{measure:<26} {told}", *(f"\n  {value:>4}  {place}" for place, value in worst), end="")


def has_essay(module: Module) -> bool:
    """Whether three lines of comment follow each other."""
    lines = set(module.comment_lines)
    return any({line, line + 1, line + 2} <= lines for line in lines)


def names(module: Module) -> list[str]:
    """Every name that the module's code uses."""
    nodes = list(ast.walk(module.tree))
    attributes = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    return attributes + [node.id for node in nodes if isinstance(node, ast.Name)]


def is_broad_except(node: ast.AST) -> bool:
    """Whether it catches everything."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = ast.walk(node.type) if node.type is not None else ()
    return node.type is None or any(
        isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"} for name in caught
    )


def is_docstring_only(module: Module) -> bool:
    """Whether it says what it is, and nothing else."""
    return len(module.tree.body) == 1 and ast.get_docstring(module.tree) is not None
