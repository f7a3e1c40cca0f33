"""README and documentation are executed: every Python block of every page.

The blocks of a page run in order, share one namespace and one event loop (`await` may stand at the
top level), and start in an empty directory. What a block prints is compared with a following block
marked `output`, if there is one; `...` in it stands for anything. Other blocks are not run.
"""

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
DISGUISED = re.compile(
    r"py|python3|pycon|py3|\{code(-block)?\} *py.*|\{python\}|\{doctest\}|\{testcode\}"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string, its text, and the line of the page it begins on."""

    info: str
    text: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    opening, body = None, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        mark = FENCE.match(line)
        if opening is None and mark:
            opening, start, body = mark, number + 1, []
        elif opening is not None and line.strip() == opening["fence"]:
            yield Block(opening["info"].strip(), "\n".join(body) + "\n", start)
            opening = None
        elif opening is not None:
            body.append(line.removeprefix(opening["indent"]))


def expectations(text: str) -> Iterator[tuple[Block, str | None]]:
    """Pair each Python block with the output block right behind it."""
    found = [*blocks(text), Block("", "", 0)]
    for block, after in pairwise(found):
        if block.info == "python":
            yield block, after.text if after.info == "output" else None


def run(block: Block, page: str, namespace: dict[str, object], loop: asyncio.Runner) -> str:
    """Run one block with the page's own line numbers in tracebacks; return what it printed."""
    source = "\n" * (block.line - 1) + block.text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, page, "exec", flags=flags, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(code, namespace)
        if inspect.iscoroutine(result):
            loop.run(result)
    return printed.getvalue()


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The namespace of a real module, so that annotations of classes defined on a page resolve."""
    module = ModuleType(f"page_{tmp_path.name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    return vars(module)


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_every_python_block_of_a_page_runs(page: Path, namespace: dict[str, object]) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with asyncio.Runner() as loop:
        for block, expected in expectations(page.read_text("utf-8")):
            printed = run(block, str(page), namespace, loop)
            if expected is not None and not doctest.OutputChecker().check_output(
                expected, printed, options
            ):
                pytest.fail(f"{page}:{block.line} printed\n{printed}\nnot\n{expected}")


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_no_python_block_escapes_by_another_name(page: Path) -> None:
    found = blocks(page.read_text("utf-8"))

    assert [b.line for b in found if DISGUISED.fullmatch(b.info)] == []


def test_the_tour_is_in_the_readme() -> None:
    assert [block for block, _ in expectations((ROOT / "README.md").read_text("utf-8"))]


PAGE = """\
```python
x = 1
```
```console
$ not run
```
```python
import asyncio
await asyncio.sleep(0)
print("x is", x, object())
```
```output
x is 1 <object ...>
```
"""


def test_blocks_share_a_namespace_and_may_await(namespace: dict[str, object]) -> None:
    with asyncio.Runner() as loop:
        printed = [run(block, "page.md", namespace, loop) for block, _ in expectations(PAGE)]

    assert printed[0] == ""
    assert printed[1].startswith("x is 1 <object")
    assert [expected for _, expected in expectations(PAGE)] == [None, "x is 1 <object ...>\n"]


def test_an_error_names_the_line_of_the_page(namespace: dict[str, object]) -> None:
    (block, _), *_ = expectations("# Title\n\n```python\n1 / 0\n```\n")

    with asyncio.Runner() as loop, pytest.raises(ZeroDivisionError) as caught:
        run(block, "page.md", namespace, loop)

    assert (caught.traceback[-1].path, caught.traceback[-1].lineno) == ("page.md", 3)


def test_a_page_starts_in_an_empty_directory(namespace: dict[str, object]) -> None:
    assert list(Path.cwd().iterdir()) == []
