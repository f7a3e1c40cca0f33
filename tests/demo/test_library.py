"""The comparison of stored modules with their sources can fail, for every value compared."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from graven import Database
from graven.demo.library import (
    Import,
    Module,
    cycles_of_objects,
    cycles_of_sources,
    differences,
    objects_of,
)
from graven.demo.sources import BUILT_IN, SOURCE, Source, Statement

COLUMNS = "importer_id, imported_id, line, column, deferred, version"


def module(name: str, *statements: Statement, is_package: bool = False) -> Source:
    path, digest = f"/lib/{name}.py", name.encode().ljust(32, b".")
    return Source(name, SOURCE, path, 100, digest, 9, f"About {name}.", is_package, statements)


SOURCES = {
    one.name: one
    for one in (
        module(
            "egg",
            Statement("egg.shell", 1, 0, False),
            Statement("hen", 2, 0, False),
            Statement("hen", 7, 4, True),
            is_package=True,
        ),
        module("egg.shell"),
        module("nest"),
        module("hen", Statement("egg", 3, 0, False), Statement("sys", 1, 0, False)),
        Source("sys", BUILT_IN, None, 0, None, 0, None, False, ()),
    )
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "library.db"
    with Database(f"sqlite:///{path}") as db:
        db.create(Module, Import)
        with db.session() as session:
            session.add(*objects_of(SOURCES))
    return path


def stored_differences(path: Path) -> list[str]:
    with Database(f"sqlite:///{path}") as db, db.session() as session:
        query = session.query(Module).include(Module.package, Module.imports, Module.needs)
        return list(differences(query.all(), SOURCES))


def test_nothing_differs_of_what_was_stored(path: Path) -> None:
    assert stored_differences(path) == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update module set kind = 'extension' where name = 'hen'", "module hen: kind"),
        ("update module set path = '/other' where name = 'hen'", "module hen: path"),
        ("update module set path = '' where name = 'sys'", "module sys: path"),
        ("update module set size_bytes = 101 where name = 'hen'", "module hen: size_bytes"),
        ("update module set sha256 = x'00' where name = 'hen'", "module hen: sha256"),
        ("update module set lines = 0 where name = 'egg'", "module egg: lines"),
        ("update module set docstring = null where name = 'egg'", "module egg: docstring"),
        ("update module set docstring = 'About egg' where name = 'egg'", "module egg: docstring"),
        ("update module set is_package = 0 where name = 'egg'", "module egg: is_package"),
        ("update module set package_id = 'hen' where name = 'egg.shell'", "egg.shell: package"),
        ("update module set package_id = null where name = 'egg.shell'", "egg.shell: package"),
        ("delete from import where importer_id = 'hen' and line = 3", "import of egg in line 3"),
        ("update import set line = 8 where line = 7", "import of hen in line 8 is too many"),
        ("update import set line = 8 where line = 7", "import of hen in line 7 is missing"),
        ("update import set deferred = 0 where line = 7", "import of hen in line 7"),
        ("update import set column = 5 where line = 7", "import of hen in line 7"),
        ("update import set imported_id = 'sys' where line = 3", "import of sys in line 3"),
        ("update import set importer_id = 'sys' where line = 3", "import of egg in line 3"),
        (
            f"insert into import select x'{'01' * 16}', {COLUMNS} from import where line = 3",
            "import of egg in line 3 is too many",
        ),
        ("delete from module_needs where module_id = 'hen' and needs_id = 'sys'", "hen: needs"),
        ("insert into module_needs values ('sys', 'hen')", "module sys: needs"),
        ("update module set name = 'cock' where name = 'nest'", "module cock: stored 1"),
        ("update module set name = 'cock' where name = 'nest'", "module nest: stored 0"),
    ],
)
def test_a_value_that_was_tampered_with_is_found(path: Path, statement: str, words: str) -> None:
    tamper(path, statement)

    assert any(words in one for one in stored_differences(path))


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        changed = connection.execute(statement).rowcount
        connection.commit()
    assert changed == 1


def test_cycles_are_found_by_walking_from_object_to_object(path: Path) -> None:
    with Database(f"sqlite:///{path}") as db, db.session() as session:
        modules = session.query(Module).include(Module.imports).all()

        assert cycles_of_objects(modules) == [{"egg", "hen"}]
    assert cycles_of_sources(SOURCES) == [{"egg", "hen"}]


def test_objects_of_a_cycle_refer_to_one_another(path: Path) -> None:
    with Database(f"sqlite:///{path}") as db, db.session() as session:
        modules = session.query(Module).include(Module.imports, Module.needs).all()
        egg, hen = (one for one in modules if one.name in ("egg", "hen"))

        assert hen in egg.needs
        assert egg in hen.needs
        assert {one.imported for one in hen.imports} == {
            egg,
            *(m for m in modules if m.name == "sys"),
        }
        assert all(one.importer is egg for one in egg.imports)
