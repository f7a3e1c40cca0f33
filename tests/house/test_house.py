"""The rules of the house, which cannot rot because they are tests (after TigerBeetle's tidy)."""

import ast
import importlib
import inspect
import io
import pickle
import pkgutil
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import graven
from graven import errors

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "graven"
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
SPEAKING = ("cli", "demo")  # these may print
DELICATE = ("core", "flows")  # these ignore no checker

SUITE = SRC / "testing" / "contract" / "suite"  # tests, which are shipped

SOURCES = sorted(path for path in SRC.rglob("*.py") if SUITE not in path.parents)
TEXTS = sorted(
    path
    for folder in ("src", "tests", "tools", "docs", "bench", "changelog.d")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".toml", ".txt"} and "_build" not in path.parts
) + sorted(ROOT.glob("*.md"))
PAGES = [path for path in TEXTS if path.suffix == ".md" and path.parent.name != "changelog.d"]
ERRORS = sorted(
    (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GravenError)
    ),
    key=lambda error: error.__name__,
)


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=short(path)) for path in paths]


def public_modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(graven.__path__, "graven.")]
    shipped = (name for name in names if not name.startswith("graven.testing.contract.suite."))
    public = (name for name in shipped if not any(part[0] == "_" for part in name.split(".")))
    found = [graven, *(importlib.import_module(name) for name in public)]
    return [module for module in found if hasattr(module, "__all__")]


PUBLIC = [(module, name) for module in public_modules() for name in module.__all__]
EVERY_PUBLIC_NAME = pytest.mark.parametrize(
    ("module", "name"), PUBLIC, ids=[f"{module.__name__}.{name}" for module, name in PUBLIC]
)


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), short(path))


def test_the_house_is_inhabited() -> None:
    """A rule over nothing would be green and prove nothing."""
    assert SOURCES
    assert ERRORS
    assert PUBLIC
    assert [path for path in SOURCES if "_sync" in path.parts]


# ── size ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", named(SOURCES))
def test_a_file_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LINES_MAX


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", named(SOURCES))
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert {f.name: n for f in functions if (n := function_lines(f)) > FUNCTION_LINES_MAX} == {}


# ── words that have no place ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", named(TEXTS))
def test_nothing_is_left_to_do_without_an_issue(path: Path) -> None:
    """Write the word with its issue's number in round brackets, or do it."""
    bare = re.compile(
        r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b(?!\(#\d+\))"
    )

    assert bare.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", named(SOURCES))
def test_only_the_command_line_prints(path: Path) -> None:
    if path.relative_to(SRC).parts[0].removesuffix(".py") in SPEAKING:
        return
    calls = (node.func for node in ast.walk(syntax(path)) if isinstance(node, ast.Call))

    assert [f.lineno for f in calls if isinstance(f, ast.Name) and f.id == "print"] == []


def comments(path: Path) -> Iterator[tokenize.TokenInfo]:
    lines = io.StringIO(path.read_text("utf-8")).readline
    return (t for t in tokenize.generate_tokens(lines) if t.type == tokenize.COMMENT)


@pytest.mark.parametrize(
    "path", named([p for d in DELICATE for p in sorted((SRC / d).rglob("*.py"))])
)
def test_the_delicate_layers_silence_no_checker(path: Path) -> None:
    silencers = re.compile(r"#\s*(type:\s*ignore|noqa|ruff:|mypy:|pyright:)", re.IGNORECASE)

    assert [c.start[0] for c in comments(path) if silencers.match(c.string)] == []


# ── documents ───────────────────────────────────────────────────────────────────────────────


def prose(path: Path) -> Iterator[str]:
    """The lines of a page that are outside of code blocks."""
    fence = ""
    for line in path.read_text("utf-8").splitlines():
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if not fence and mark:
            fence = mark[1]
        elif fence and line.strip() == fence:
            fence = ""
        elif not fence:
            yield line


@pytest.mark.parametrize("path", named(PAGES))
def test_a_page_has_exactly_one_title(path: Path) -> None:
    assert len([line for line in prose(path) if line.startswith("# ")]) == 1


@pytest.mark.parametrize(
    "path", named([p for p in PAGES if "docs" in p.parts and "tests" not in p.parts])
)
def test_a_page_can_be_reached(path: Path) -> None:
    """Every page but the first stands in the table of contents above it."""
    if path == ROOT / "docs" / "index.md":
        return
    above = path.parent if path.name != "index.md" else path.parent.parent
    entry = path.relative_to(above).with_suffix("").as_posix()

    assert re.search(
        rf"^{re.escape(entry)}$", (above / "index.md").read_text("utf-8"), re.MULTILINE
    )


def assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def is_explained_in_source(name: str) -> bool:
    """Whether an assignment to *name* has a `#:` comment at it, or above it, or a string below."""
    for path in SOURCES:
        lines, body = path.read_text("utf-8").splitlines(), syntax(path).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if name in assigned(node):
                below = after.value if isinstance(after, ast.Expr) else None
                text = isinstance(below, ast.Constant) and isinstance(below.value, str)
                at = lines[node.lineno - 1 : node.end_lineno]
                if text or lines[node.lineno - 2].startswith("#:") or any("#: " in x for x in at):
                    return True
    return False


@EVERY_PUBLIC_NAME
def test_every_public_name_has_a_docstring(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    documented = inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)

    assert value.__doc__ if documented else is_explained_in_source(name)


@cache
def shown(*folders: str) -> frozenset[tuple[str, str]]:
    """The names, as (module, name), that autodoc directives on the pages of *folders* show."""
    pages = [p for folder in folders for p in sorted((ROOT / "docs" / folder).rglob("*.md"))]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    found = re.findall(r"^\s*(?:\.\. |```\{)auto(\w+)(?:::|\})\s+([\w.]+)", text, re.MULTILINE)
    whole = {name for kind, name in found if kind == "module"}
    single = {name.rpartition(".") for kind, name in found if kind != "module"}
    return frozenset(
        {(module.__name__, name) for module, name in PUBLIC if module.__name__ in whole}
        | {(module, name) for module, _, name in single}
    )


@EVERY_PUBLIC_NAME
def test_every_public_name_is_in_the_reference(module: ModuleType, name: str) -> None:
    """What `graven` itself exports is in the reference; a layer's names may be in the internals.

    A name that several modules export need be shown only once.
    """
    folders = ("reference",) if module is graven else ("reference", "internals")
    same = {(m.__name__, n) for m, n in PUBLIC if n == name and getattr(m, n) is getattr(module, n)}

    assert same & shown(*folders)


@EVERY_PUBLIC_NAME
def test_every_public_name_exists_once_in_its_list(module: ModuleType, name: str) -> None:
    assert hasattr(module, name)
    assert list(module.__all__).count(name) == 1


def test_every_fragment_has_a_kind_that_the_changelog_knows() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    fragment = re.compile(rf"(\d+|\+\w+)(\.({kinds}))(\.\d+)?\.md|README\.md")
    found = [path.name for path in (ROOT / "changelog.d").iterdir()]

    assert [name for name in found if not fragment.fullmatch(name)] == []


# ── errors ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_pickles_with_its_message_and_data(error: type[errors.GravenError]) -> None:
    data = {name: ("a value for", name) for name in error._fields}
    original = error("what, what was found, why, what to do", **data)

    restored = pickle.loads(pickle.dumps(original))

    assert type(restored) is error
    assert str(restored) == str(original)
    assert "what was found" in str(original)
    assert {name: getattr(restored, name) for name in error._fields} == data


@pytest.mark.parametrize("error", ERRORS)
def test_the_data_of_an_error_are_optional(error: type[errors.GravenError]) -> None:
    bare = error("message")

    assert [getattr(bare, name) for name in error._fields] == [None] * len(error._fields)


# ── generated code ──────────────────────────────────────────────────────────────────────────


def test_the_blocking_shell_is_made_from_the_async_one() -> None:
    check = [sys.executable, str(ROOT / "tools" / "unasync.py"), "--check"]

    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
