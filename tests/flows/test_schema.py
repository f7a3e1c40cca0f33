"""What creating tables asks of the store, for each thing that it may find there."""

from collections.abc import Mapping
from typing import Any

import pytest

from graven.errors import BusyRetry, MappingError
from graven.flows.schema import create
from graven.ops.requests import Begin, Commit, Create, Fetch, Inspect, Rollback, TableShape
from graven.ops.schema import Column, Reference, Table

INT = frozenset({"int", "bool"})
TEXT = frozenset({"str", "datetime"})

AUTHOR = Table(
    "author",
    (Column("id", "int"), Column("name", "str"), Column("nick", "str", nullable=True, unique=True)),
    ("id",),
)
BOOK = Table(
    "book",
    (Column("id", "int"), Column("author_id", "int", nullable=True)),
    ("id",),
    references=(Reference(("author_id",), "author", ("id",)),),
)


def shape(
    *columns: tuple[str, str, bool],
    key: tuple[str, ...] = ("id",),
    indexes: tuple[tuple[str, tuple[str, ...], bool], ...] = (),
    defaulted: frozenset[str] = frozenset(),
    makes_key: bool = True,
) -> TableShape:
    kinds = tuple(INT if declared == "INTEGER" else TEXT for _, declared, _ in columns)
    return TableShape(columns, key, indexes, kinds, defaulted, makes_key)


LOCKED = Begin(True, tables=True)
ID = ("id", "INTEGER", True)
NAME = ("name", "TEXT", True)
NICK = ("nick", "TEXT", False)
FITTING = shape(ID, NAME, NICK, indexes=(("any name", ("nick",), True),))


def play(
    tables: list[Table],
    found: Mapping[str, TableShape | None],
    rows: int = 0,
    fails: type[Exception] | None = None,
) -> list[Any]:
    """Run the flow on a store that looks like *found*; return what it asked but to inspect."""
    asked: list[Any] = []
    flow = create(tables)
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            request = flow.send(reply) if error is None else flow.throw(error)
        except StopIteration:
            return asked
        except Exception:
            play.asked = asked  # type: ignore[attr-defined]
            raise
        reply, error = None, None
        if isinstance(request, Inspect):
            reply = found[request.name]
            continue
        asked.append(request)
        if isinstance(request, Fetch):
            reply = [(rows,)]
        if fails is not None and isinstance(request, Create):
            error = fails("no")


def test_a_fitting_table_is_left_alone_and_nothing_is_locked() -> None:
    assert play([AUTHOR], {"author": FITTING}) == []


def test_missing_tables_are_made_in_one_write_transaction_parents_first() -> None:
    asked = play([BOOK, AUTHOR], {"author": None, "book": None})

    assert asked == [
        LOCKED,
        Create(AUTHOR, True),
        Create(BOOK, True),
        Create(BOOK, False, references=BOOK.references),
        Commit(),
    ]


def test_references_are_added_when_all_tables_are_there() -> None:
    lacking = shape(ID)
    asked = play([BOOK, AUTHOR], {"author": None, "book": lacking})

    assert asked[-2] == Create(BOOK, False, references=BOOK.references)


MOOD = Table("mood", (Column("id", "int"), Column("name", "str", choices=("glad", "sad"))), ("id",))


def test_what_an_enumeration_allows_is_made_anew_when_it_has_changed() -> None:
    found = shape(ID, NAME)
    found.choices = (("the rule", "name", ("glad",)),)  # type: ignore[misc]
    same = shape(ID, NAME)
    same.choices = (("the rule", "name", ("sad", "glad")),)  # type: ignore[misc]

    assert play([MOOD], {"mood": found})[1] == Create(MOOD, False, choices=(("the rule", "name"),))
    assert play([MOOD], {"mood": same}) == []
    assert play([MOOD], {"mood": shape(ID, NAME)}) == []


def test_tables_that_refer_to_each_other_are_made_too() -> None:
    one = Table(
        "one", (Column("id", "int"),), ("id",), references=(Reference(("id",), "two", ("id",)),)
    )
    two = Table(
        "two", (Column("id", "int"),), ("id",), references=(Reference(("id",), "one", ("id",)),)
    )

    asked = play([one, two], {"one": None, "two": None})

    assert {step.table.name for step in asked if isinstance(step, Create)} == {"one", "two"}


def test_a_missing_nullable_column_and_index_are_added() -> None:
    asked = play([AUTHOR], {"author": shape(ID, NAME)})

    step = Create(AUTHOR, False, columns=("nick",), indexes=((("nick",), True),))
    assert asked == [LOCKED, step, Commit()]


def test_a_missing_index_is_added() -> None:
    asked = play([AUTHOR], {"author": shape(ID, NAME, NICK, indexes=(("x", ("nick",), False),))})

    assert asked[1] == Create(AUTHOR, False, indexes=((("nick",), True),))


def test_a_required_column_is_added_to_an_empty_table_only() -> None:
    lacking = {"author": shape(ID, NICK, indexes=(("x", ("nick",), True),))}

    asked = play([AUTHOR], lacking, rows=0)

    assert Create(AUTHOR, False, columns=("name",)) in asked
    with pytest.raises(MappingError, match=r"'name'.*has rows.*renamed_from") as caught:
        play([AUTHOR], lacking, rows=1)
    assert (caught.value.table, caught.value.field) == ("author", "name")


RENAMED = Table(
    "author",
    (Column("id", "int"), Column("name", "str", index=True, renamed_from=("title", "label"))),
    ("id",),
)


def test_a_column_with_an_old_name_is_renamed_and_keeps_its_index() -> None:
    old = shape(ID, ("label", "TEXT", True), indexes=(("x", ("label",), False),))

    assert play([RENAMED], {"author": old})[1] == Create(RENAMED, False, (("label", "name"),))


def test_a_renamed_column_has_to_fit_as_well() -> None:
    with pytest.raises(MappingError, match="label"):
        play([RENAMED], {"author": shape(ID, ("label", "INTEGER", True))})


def test_a_key_is_renamed_with_its_column() -> None:
    table = Table("author", (Column("id", "int", renamed_from=("nr",)),), ("id",))
    old = shape(("nr", "INTEGER", True), key=("nr",))

    assert play([table], {"author": old})[1] == Create(table, False, (("nr", "id"),))


@pytest.mark.parametrize(
    ("found", "column", "words"),
    [
        (shape(ID, ("name", "INTEGER", True), NICK), "name", "expected a column for str"),
        (shape(ID, ("name", "TEXT", False), NICK), "name", "expected never null, found nullable"),
        (shape(ID, NAME, ("nick", "TEXT", True)), "nick", "expected nullable, found never null"),
        (shape(ID, NAME, NICK, key=("name",)), None, "expected the key id, found the key name"),
        (shape(ID, NAME, NICK, ("x", "TEXT", True)), "x", "has no default"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_written(
    found: TableShape, column: str | None, words: str
) -> None:
    with pytest.raises(MappingError, match=words) as caught:
        play([AUTHOR, BOOK], {"author": found, "book": None})

    assert (caught.value.table, caught.value.field) == ("author", column)
    assert play.asked == []  # type: ignore[attr-defined]


def test_a_key_that_the_store_should_make_but_does_not_is_refused() -> None:
    made = Table("note", (Column("id", "int"),), ("id",), store_made=True)

    with pytest.raises(MappingError, match="a key that the store makes"):
        play([made], {"note": shape(ID, makes_key=False)})


def test_unknown_columns_that_fill_themselves_are_tolerated() -> None:
    extra = (("seen", "TEXT", False), ("made", "TEXT", True))
    index = (("x", ("nick",), True),)
    found = shape(ID, NAME, NICK, *extra, indexes=index, defaulted=frozenset({"made"}))

    assert play([AUTHOR], {"author": found}) == []


def test_a_failure_rolls_everything_back() -> None:
    with pytest.raises(BusyRetry):
        play([AUTHOR], {"author": None}, fails=BusyRetry)

    assert play.asked == [LOCKED, Create(AUTHOR, True), Rollback()]  # type: ignore[attr-defined]
