"""The project's own source, read without being imported."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What the wheels hold.
PACKAGES = ("activities", "control_plane", "db", "runtimes", "services", "workflows")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

#: What adds a way through a function; boolean operators add one for each further operand.
BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.match_case,
)


@dataclass(frozen=True)
class Function:
    """One function or method; `lines` from `def` to its last line."""

    module: "Module"
    node: FunctionNode

    @property
    def label(self) -> str:
        """What it is called, wherever it moves in its file."""
        return f"{self.module.path} {self.node.name}"

    @property
    def place(self) -> str:
        """Where it is now."""
        return f"{self.module.path}:{self.node.lineno} {self.node.name}"

    @property
    def lines(self) -> int:
        """Lines from `def` to its end, its docstring included."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def complexity(self) -> int:
        """Independent ways through it (McCabe)."""
        return 1 + sum(_ways(node) for node in ast.walk(self.node))

    @property
    def is_annotated(self) -> bool:
        """Whether every parameter and the result has a type."""
        arguments = self.node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        rest = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        bare = [argument.arg for argument in (*named, *rest) if argument.annotation is None]
        return self.node.returns is not None and not set(bare) - {"self", "cls"}

    def imports(self) -> list[str]:
        """Modules that it imports when it runs."""
        return [name for node in ast.walk(self.node) for name in imported(node)]


@dataclass(frozen=True)
class Module:
    """One file; `path` is relative to the project."""

    path: str

    @property
    def name(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def text(self) -> str:
        """What it says."""
        return (ROOT / self.path).read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> int:
        """Lines of the file."""
        return len(self.text.splitlines())

    @cached_property
    def functions(self) -> list[Function]:
        """Every function, nested ones and methods too."""
        return [Function(self, node) for node in ast.walk(self.tree) if isinstance(node, FunctionNode)]

    @cached_property
    def comment_lines(self) -> list[int]:
        """Numbers of the lines with a comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [token.start[0] for token in tokens if token.type == tokenize.COMMENT]

    @property
    def imports(self) -> set[str]:
        """Full names of all that it imports, at its top or in functions."""
        return {name for node in ast.walk(self.tree) for name in imported(node)}


def product() -> list[Module]:
    """List the modules that the wheels hold."""
    return _modules(*PACKAGES)


def suite() -> list[Module]:
    """The tests."""
    return _modules("tests")


def imported(node: ast.AST) -> Iterator[str]:
    """Modules and members that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules(*packages: str) -> list[Module]:
    paths = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return [Module(str(path.relative_to(ROOT))) for path in sorted(paths)]


def _ways(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return isinstance(node, BRANCHES)
