"""The running interpreter's standard library as facts: its modules, and the imports among them.

Nothing is imported and nothing is written: files are found, read and parsed.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

SOURCE, EXTENSION, BUILT_IN = "source", "extension", "built-in"


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """An import: the name of what is imported, where, and whether it waits for a call."""

    imported: str
    line: int
    column: int
    deferred: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One module: what its file says of it, and its imports of other modules, in order."""

    name: str
    kind: str
    path: str | None
    size_bytes: int
    sha256: bytes | None
    lines: int
    docstring: str | None
    is_package: bool
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module is, before it is read."""

    name: str
    path: Path | None
    is_package: bool


def places(limit: int | None = None) -> dict[str, Place]:
    """Find every module of the standard library; return them by name, in order.

    The library is what :data:`sys.stdlib_module_names` names and what is inside of those packages,
    as far as this installation has it. With *limit*, the first *limit* ones only.
    """
    found = {name: Place(name, None, False) for name in sys.builtin_module_names}
    for folder in _folders():
        for place in _inside(folder, ""):
            if place.name.partition(".")[0] in sys.stdlib_module_names:
                found.setdefault(place.name, place)
    return {name: found[name] for name in sorted(found)[:limit]}


def read(place: Place, known: Mapping[str, Place]) -> Source:
    """Read one module; only imports of *known* modules count."""
    if place.path is None:
        return Source(place.name, BUILT_IN, None, 0, None, 0, None, False, ())
    content = place.path.read_bytes()
    digest = hashlib.sha256(content).digest()
    path, size = str(place.path), len(content)
    if place.path.suffix not in SOURCE_SUFFIXES:
        return Source(place.name, EXTENSION, path, size, digest, 0, None, False, ())
    tree = _parsed(content)
    lines = len(content.splitlines())
    docstring = ast.get_docstring(tree, clean=False) if tree is not None else None
    statements = () if tree is None else tuple(sorted(set(_statements(tree, place, known))))
    package = place.is_package
    return Source(place.name, SOURCE, path, size, digest, lines, docstring, package, statements)


def _folders() -> list[Path]:
    """Return the folders of the standard library, each once."""
    named = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")]
    return list(dict.fromkeys(Path(name) for name in named if name and Path(name).is_dir()))


def _inside(folder: Path, prefix: str) -> Iterator[Place]:
    """Yield the modules in a folder, and those in its packages."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            start = path / "__init__.py"
            if path.name.isidentifier() and start.is_file():
                yield Place(prefix + path.name, start, True)
                yield from _inside(path, f"{prefix}{path.name}.")
            continue
        name = _module_name(path)
        if name.isidentifier() and name != "__init__":
            yield Place(prefix + name, path, False)


def _module_name(path: Path) -> str:
    """Return the name of the module in a file; an empty one if it holds none."""
    for suffix in (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return ""


def _parsed(content: bytes) -> ast.Module | None:
    """Parse a source; ``None`` if it is wrong on purpose, as some files of test suites are."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return None


def _statements(tree: ast.Module, place: Place, known: Mapping[str, Place]) -> Iterator[Statement]:
    """Yield the imports of a module, those inside of functions as deferred."""
    stack: list[tuple[ast.AST, bool]] = [(tree, False)]
    while stack:
        node, deferred = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _imported(node, place, known):
                if name != place.name:
                    yield Statement(name, node.lineno, node.col_offset, deferred)
        elif isinstance(node, ast.stmt | ast.Module | ast.ExceptHandler | ast.match_case):
            inner = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            stack.extend((child, inner) for child in ast.iter_child_nodes(node))


def _imported(
    node: ast.Import | ast.ImportFrom, place: Place, known: Mapping[str, Place]
) -> set[str]:
    """Return the names of the known modules that one statement imports."""
    if isinstance(node, ast.Import):
        return {name for alias in node.names if (name := _longest(alias.name, known))}
    start = node.module or ""
    if node.level:
        start = _absolute(place, node.level, start)
    inner = {f"{start}.{alias.name}" for alias in node.names} & known.keys()
    # `from package import module` is about the module; what else it names is the package's own.
    whole = len(inner) < len(node.names)
    return inner | ({name} if whole and (name := _longest(start, known)) else set())


def _absolute(place: Place, level: int, rest: str) -> str:
    """Resolve a relative name: one dot is the package that the module is in."""
    parts = place.name.split(".")
    kept = parts[: len(parts) - level + place.is_package]
    return ".".join([*kept, rest] if rest else kept) if kept else ""


def _longest(name: str, known: Mapping[str, Place]) -> str:
    """Return the longest beginning of a dotted name that is a known module, or an empty name."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name
