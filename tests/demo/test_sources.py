"""What the demo reads of a standard library."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from graven.demo.sources import BUILT_IN, EXTENSION, SOURCE, Place, Source, places, read

KNOWN = {
    name: Place(name, None, False)
    for name in ("os", "json", "json.decoder", "json.encoder", "json.tool", "sys", "abc")
}


def source(folder: Path, text: str, name: str = "json.tool", is_package: bool = False) -> Source:
    path = folder / "module.py"
    path.write_text(text, "utf-8")
    return read(Place(name, path, is_package), KNOWN)


def imported(
    folder: Path, text: str, name: str = "json.tool", is_package: bool = False
) -> set[str]:
    return {one.imported for one in source(folder, text, name, is_package).statements}


def test_every_module_that_the_interpreter_names_and_can_find_is_there() -> None:
    found = places()

    missing = [
        name
        for name in sys.stdlib_module_names
        if name not in found and importlib.util.find_spec(name) is not None
    ]

    # frozen copies of files that are there by another name, known only inside the interpreter
    assert set(missing) <= {"_frozen_importlib", "_frozen_importlib_external"}
    assert {"json.decoder", "email.mime.text", "sys"} <= found.keys()
    assert not any(name.startswith(("site-packages", "pytest")) for name in found)


def test_a_module_is_read_as_its_file_is(tmp_path: Path) -> None:
    text = '"""What it is for.\n\nMore."""\nimport os\n'

    found = source(tmp_path, text)

    content = (tmp_path / "module.py").read_bytes()
    assert found.kind == SOURCE
    assert found.path == str(tmp_path / "module.py")
    assert found.size_bytes == len(content)
    assert found.sha256 == hashlib.sha256(content).digest()
    assert found.lines == 4
    assert found.docstring == "What it is for.\n\nMore."


def test_modules_without_source_have_a_kind_of_their_own(tmp_path: Path) -> None:
    library = tmp_path / "fast.so"
    library.write_bytes(b"\x7fELF")

    assert read(Place("fast", library, False), KNOWN).kind == EXTENSION
    assert read(Place("sys", None, False), KNOWN).kind == BUILT_IN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os, sys", {"os", "sys"}),
        ("import os.path", {"os"}),
        ("import json.decoder", {"json.decoder"}),
        ("import numpy", set()),
        ("from json import decoder", {"json.decoder"}),
        ("from json import loads", {"json"}),
        ("from json import decoder, loads", {"json", "json.decoder"}),
        ("from . import encoder", {"json.encoder"}),
        ("from .decoder import JSONDecoder", {"json.decoder"}),
        ("from .... import os", set()),
        ("import json.tool", set()),
        ("try:\n    import os\nexcept ImportError:\n    import sys", {"os", "sys"}),
        ("match 1:\n    case 1:\n        import abc", {"abc"}),
        ("class A:\n    import abc", {"abc"}),
    ],
)
def test_an_import_refers_to_the_module_that_it_means(
    tmp_path: Path, text: str, expected: set[str]
) -> None:
    assert imported(tmp_path, text) == expected


def test_each_dot_more_is_one_package_further_out(tmp_path: Path) -> None:
    assert imported(tmp_path, "from ..decoder import scan", "json.inner.deep") == {"json.decoder"}
    assert imported(tmp_path, "from .. import decoder", "json.inner.deep") == {"json.decoder"}


def test_a_package_is_where_its_own_relative_imports_start(tmp_path: Path) -> None:
    assert imported(tmp_path, "from . import decoder", "json", True) == {"json.decoder"}
    assert imported(tmp_path, "from .decoder import scan", "json", True) == {"json.decoder"}


def test_an_import_knows_its_line_and_whether_it_waits_for_a_call(tmp_path: Path) -> None:
    text = "import os\ndef late():\n    if True:\n        import sys\n"

    found = source(tmp_path, text).statements

    assert sorted((one.imported, one.line, one.column, one.deferred) for one in found) == [
        ("os", 1, 0, False),
        ("sys", 4, 8, True),
    ]


def test_a_file_that_is_no_python_has_no_imports_but_all_the_rest(tmp_path: Path) -> None:
    found = source(tmp_path, "import os\nthis is wrong on purpose\n")

    assert found.statements == ()
    assert found.docstring is None
    assert (found.lines, found.size_bytes) == (2, 35)
