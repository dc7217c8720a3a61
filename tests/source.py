"""The project's own source as data: modules, what they import and when, functions, classes and names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]

ROOMS = {"cgsam_edge": ROOT / "cgsam_edge"} | {
    f"cgsam_edge.{name}": ROOT / name for name in ("export", "runtimes", "calibration")
}
"""Folders of the checkout by the package that they are installed as."""

OTHERS = tuple(ROOT / name for name in ("tests", "training", "benchmarks"))

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_IMPORTERS = {"telemetry.load", "importlib.import_module", "import_module"}
"""Functions that import what their first argument names."""

ON_LOADING, ON_USE, FOR_TYPES = "on loading", "on use", "for types"
"""When an import happens: with the module, when a function runs, or for the type checker alone."""


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        name: a module of the project in full, else the top package of a library.
        when: `ON_LOADING`, `ON_USE` or `FOR_TYPES`.
        line: in the file.
    """

    name: str
    when: str
    line: int


@dataclass(frozen=True)
class Module:
    """A module of the package by the name that it is installed as."""

    name: str
    path: Path

    @property
    def file(self) -> str:
        """The file within the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree, self.name))

    def imported(self, *when: str) -> set[str]:
        """Return the names that are imported at some times."""
        return {one.name for one in self.imports if one.when in when}


def module_name(room: str, path: Path) -> str:
    """Return the name that a file is installed as."""
    parts = path.relative_to(ROOMS[room]).with_suffix("").parts
    return ".".join((room, *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def modules() -> dict[str, Module]:
    """All modules of the package by name."""
    found = {module_name(room, path): path for room, folder in ROOMS.items() for path in folder.rglob("*.py")}
    return {name: Module(name, path) for name, path in sorted(found.items())}


def python_files() -> list[Path]:
    """All Python files of the checkout that the project's style holds for."""
    folders = (*ROOMS.values(), *OTHERS)
    return sorted(path for folder in folders for path in folder.rglob("*.py") if path.name != "make_checkpoint.py")


def _imports(tree: ast.Module, name: str) -> Iterator[Import]:
    for node, when in _nodes(tree, ON_LOADING):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [one if one in modules() else node.module for one in inner]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in _IMPORTERS and node.args:
            names = [str(node.args[0].value)] if isinstance(node.args[0], ast.Constant) else []
        assert not isinstance(node, ast.ImportFrom) or node.level == 0, f"{name}: a relative import"
        for one in dict.fromkeys(names):
            yield Import(one if one in modules() else one.partition(".")[0], when, getattr(node, "lineno", 0))


def _nodes(node: ast.AST, when: str) -> Iterator[tuple[ast.AST, str]]:
    """Walk a tree; where functions begin the time changes, and in ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        inner = when
        if isinstance(child, (*_FUNCTIONS, ast.Lambda)):
            inner = ON_USE if when == ON_LOADING else when
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = FOR_TYPES
        yield child, inner
        yield from _nodes(child, inner)


def closure(start: str, follow: Callable[[Module], Iterable[str]]) -> dict[str, str]:
    """Return every module that is reached from one, each with the module that led to it.

    A module brings its packages along, as Python loads those first.
    """
    reached, waiting = {start: ""}, [start]
    while waiting:
        name = waiting.pop()
        packages = (name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1))
        for other in (*packages, *follow(modules()[name])):
            if other in modules() and other not in reached:
                reached[other] = name
                waiting.append(other)
    return reached


def way(reached: dict[str, str], name: str) -> str:
    """Return how a closure came to a module, for a message."""
    steps = [name]
    while reached[steps[-1]]:
        steps.append(reached[steps[-1]])
    return " < ".join(steps)


def cycles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of nodes that reach each other: Tarjan's strongly connected components of two or more."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                found.append(set(stack[start:]))
            del stack[start:]

    for node in edges:
        if node not in order:
            visit(node)
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions and methods of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS))


def names(text: str) -> Iterator[tuple[str, int]]:
    """Yield every identifier of a source with its line: variables, attributes, arguments, keywords, modules."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string, token.start[0]


def words(name: str) -> list[str]:
    """Split an identifier into lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
