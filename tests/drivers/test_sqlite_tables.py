"""Tables on SQLite: made, changed, and who refers to whom."""

import pytest

from graven.drivers.sqlite import SQLiteConnection
from graven.errors import (
    ForeignKeyError,
)
from graven.flows.diagnose import blame, who_refers
from graven.flows.schema import create
from graven.ops.conditions import (
    And,
    Compare,
    Path,
    Select,
)
from graven.ops.requests import (
    Begin,
    Commit,
    Delete,
    Execute,
    Fetch,
    Flow,
    Insert,
    Inspect,
    Rollback,
    Update,
)
from graven.ops.schema import Column, Reference, Table
from tests.drivers.sqlite_things import AUTHOR, BOOK, THING, add, author, rows

# ── creating tables ──────────────────────────────────────────────────────────────────────────


def test_created_tables_fit(connection: SQLiteConnection) -> None:
    seen: list[str] = []

    def inspections(flow: Flow[None]) -> Flow[None]:
        request = next(flow)
        while True:
            seen.append(type(request).__name__)
            try:
                request = flow.send((yield request))
            except StopIteration:
                return

    connection.run(inspections(create([AUTHOR, BOOK, THING])))
    seen.clear()
    connection.run(inspections(create([AUTHOR, BOOK, THING])))

    assert seen == ["Inspect"] * 3


def test_a_changed_model_gets_its_columns_with_the_rows_kept(connection: SQLiteConnection) -> None:
    add(connection, author(1))
    newer = Table(
        "author",
        (
            Column("id", "int"),
            Column("full_name", "str", renamed_from=("name",), index=True),
            Column("email", "str", nullable=True, unique=True),
            Column("version", "int"),
            Column("boss_id", "int", nullable=True),
        ),
        ("id",),
        "version",
        references=(Reference(("boss_id",), "author", ("id",)),),
    )

    connection.run(create([newer]))

    names = tuple(column.name for column in newer.columns)
    assert connection.perform(Fetch(Select(newer, names))) == [(1, "Ada", None, 1, None)]
    shape = connection.perform(Inspect("author"))
    assert shape is not None
    assert {(columns, unique) for _, columns, unique in shape.indexes} == {
        (("email",), True),
        (("full_name",), False),
        (("boss_id",), False),
    }
    connection.perform(Begin(write=True))
    connection.perform(Update(newer, ("boss_id",), (), [(77, 1)]))
    with pytest.raises(ForeignKeyError):
        connection.perform(Commit())


def test_creating_is_all_or_nothing(connection: SQLiteConnection) -> None:
    connection.perform(Execute('create table "zoo" (id text primary key, other blob not null)'))
    zoo = Table("zoo", (Column("id", "str"),), ("id",))

    with pytest.raises(Exception, match="no default"):
        connection.run(create([THING, zoo]))

    assert connection.perform(Inspect("thing")) is None


def test_names_that_sql_reserves_or_quotes_work(connection: SQLiteConnection) -> None:
    names = ("select", 'a"b', "c`d", "e.f", "group by")
    odd = Table(
        'or"der',
        (Column("id", "int"), *(Column(n, "str", nullable=True, unique=True) for n in names)),
        ("id",),
    )

    connection.run(create([odd]))
    connection.perform(Insert(odd, ("id", *names), [(1, *names)]))

    condition = And(tuple(Compare("==", Path((), n, "str"), n) for n in names))
    assert connection.perform(Fetch(Select(odd, names, condition))) == [names]
    assert connection.perform(Update(odd, ("select",), ('a"b',), [("x", 1, 'a"b')])) == 1
    connection.run(create([odd]))


def test_a_collation_is_never_part_of_a_table(connection: SQLiteConnection) -> None:
    connection.run(create([THING]))

    found, _ = connection.perform(Execute("select sql from sqlite_master"))

    assert "graven" not in str(found)


# ── who refers ───────────────────────────────────────────────────────────────────────────────


def test_a_refused_commit_names_who_refers(connection: SQLiteConnection) -> None:
    add(connection, author(1), author(2))
    books = [("a", 1), ("b", 2), ("c", 1)]
    keys = connection.perform(Insert(BOOK, ("title", "author_id"), books))

    def flow() -> Flow[None]:
        yield from Begin(write=True)
        yield from Delete(AUTHOR, (), [(1,)])
        try:
            yield from Commit()
        except ForeignKeyError as error:
            orphans = yield from who_refers([AUTHOR, BOOK], {"author"})
            yield from Rollback()
            raise blame(orphans, error) from error

    with pytest.raises(ForeignKeyError) as caught:
        connection.run(flow())

    error = caught.value
    assert (error.table, error.key, error.columns) == ("author", 1, ("author_id",))
    assert error.referrer == f"book {keys[0]}"
    assert "1 more row" in str(error)
    assert len(rows(connection)) == 2


def test_only_tables_that_can_be_to_blame_are_looked_through() -> None:
    flow = who_refers([AUTHOR, BOOK, THING], {"thing"})

    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value == ()


def test_blame_changes_nothing_when_nobody_is_found() -> None:
    error = ForeignKeyError("as it was")

    assert blame((), error) is error
