"""Bad values: each its own clear error, before anything is written, and the session goes on."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from graven import DataError, Model, NaiveDatetime, field, many_to_many, owned
from graven.testing.contract import TRANSACTIONS, count


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Other(enum.Enum):
    LOW = "low"


class Form(Model):
    number: int = 0
    text: str = ""
    flag: bool = False
    ratio: float = 0.0
    instant: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    wall: NaiveDatetime = datetime(2024, 1, 1)
    day: date = date(2024, 1, 1)
    hour: time = time(0)
    span: timedelta = timedelta(0)
    price: Decimal = Decimal(0)
    token: UUID = UUID(int=0)
    data: bytes = b""
    level: Level = Level.LOW
    note: str | None = None


class Boss(Model):
    name: str = ""
    staff: list[Clerk] = owned("boss")


class Badge(Model):
    name: str = ""


class Clerk(Model):
    name: str = ""
    boss: Boss
    deputy: Boss | None = None
    badges: list[Badge] = many_to_many()


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


AHEAD = timezone(timedelta(hours=1))
SCALARS: list[tuple[str, Any, str]] = [
    ("number", None, "expected int"),
    ("number", "1", "expected int"),
    ("number", True, "expected int"),
    ("number", 1.0, "expected int"),
    ("number", Decimal(1), "expected int"),
    ("number", 2**63, "64 bits"),
    ("number", -(2**63) - 1, "64 bits"),
    ("number", 10**5000, "64 bits"),
    ("text", None, "expected str"),
    ("text", b"bytes", "expected str"),
    ("text", 1, "expected str"),
    ("text", Level.LOW, "expected str"),
    ("text", "a\0b", "NUL"),
    ("text", "a\ud800", "surrogate"),
    ("flag", 1, "expected bool"),
    ("flag", None, "expected bool"),
    ("ratio", "1.5", "expected float"),
    ("ratio", float("nan"), "NaN"),
    ("ratio", True, "expected float"),
    ("ratio", 2**60, "expected float"),
    ("ratio", Decimal("1.5"), "expected float"),
    ("instant", datetime(2024, 1, 1), "no time zone.*NaiveDatetime"),
    ("instant", date(2024, 1, 1), "expected datetime"),
    ("instant", "2024-01-01", "expected datetime"),
    ("instant", datetime(1, 1, 1, tzinfo=AHEAD), "year 1"),
    ("wall", datetime(2024, 1, 1, tzinfo=UTC), "has a time zone"),
    ("day", datetime(2024, 1, 1), "expected date"),
    ("day", "2024-01-01", "expected date"),
    ("hour", time(1, tzinfo=UTC), "without a zone"),
    ("hour", "01:00", "expected time"),
    ("span", 5, "expected timedelta"),
    ("span", timedelta.max, "64 bits"),
    ("price", 1, "expected Decimal"),
    ("price", 1.5, "expected Decimal"),
    ("price", Decimal("NaN"), "finite"),
    ("price", Decimal("Infinity"), "finite"),
    ("token", "0" * 32, "expected UUID"),
    ("data", "text", "expected bytes"),
    ("data", bytearray(b"x"), "expected bytes"),
    ("level", "low", "expected Level"),
    ("level", Other.LOW, "expected Level"),
    ("level", None, "expected Level"),
    ("note", 1, "expected str or None"),
    ("note", Broken(), "<Broken>"),
]


@pytest.mark.parametrize(("name", "value", "words"), SCALARS, ids=range(len(SCALARS)))
def test_a_bad_value_of_a_new_object_is_named_and_nothing_is_written(
    open_db: Callable[..., Any], name: str, value: Any, words: str
) -> None:
    db = open_db(Form)
    with db.session() as session:
        bad = Form(**{name: value})
        session.add(Form(), bad)
        with pytest.raises(DataError, match=words) as caught:
            session.commit()
        error = caught.value
        assert (error.model, error.key, error.field) == ("Form", bad.id, name)
        assert error.value is value
        assert error.expected
        assert f"Form.{name}" in str(error)
        assert len(str(error)) < 700
        assert count(db, Form) == 0
        setattr(bad, name, getattr(Form(), name))
    assert count(db, Form) == 2


@pytest.mark.parametrize(("name", "value", "words"), SCALARS, ids=range(len(SCALARS)))
def test_a_bad_value_of_a_stored_object_is_named_and_can_be_taken_back(
    open_db: Callable[..., Any], name: str, value: Any, words: str
) -> None:
    db = open_db(Form)
    good, bad = Form(), Form()
    with db.session() as session:
        session.add(good, bad)
    with db.session() as session:
        good, bad = session.get(Form, good.id), session.get(Form, bad.id)
        good.note = "changed"
        before = getattr(bad, name)
        setattr(bad, name, value)
        with pytest.raises(DataError, match=words) as caught:
            session.commit()
        assert (caught.value.model, caught.value.key, caught.value.field) == ("Form", bad.id, name)
        assert count(db, Form, note="changed") == 0
        assert set(session.dirty) == {good, bad}
        setattr(bad, name, before)
        assert list(session.dirty) == [good]
        session.commit()
        assert count(db, Form, note="changed") == 1


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.parametrize(("name", "value", "words"), SCALARS, ids=range(len(SCALARS)))
def test_a_rollback_takes_a_bad_value_back(
    open_db: Callable[..., Any], name: str, value: Any, words: str
) -> None:
    db = open_db(Form)
    with db.session() as session:
        form = Form()
        session.add(form)
        session.commit()
        before = getattr(form, name)
        setattr(form, name, value)
        with pytest.raises(DataError, match=words):
            session.flush()
        session.rollback()
        assert getattr(form, name) == before
        assert session.query(Form).one() is form


REFERENCES: list[tuple[str, Callable[[], Any], str]] = [
    ("boss", lambda: None, "expected Boss"),
    ("boss", lambda: Badge(name="x"), "expected Boss"),
    ("boss", lambda: UUID(int=7), "expected Boss"),
    ("boss", lambda: "Ada", "expected Boss"),
    ("boss", lambda: [Boss()], "expected Boss"),
    ("deputy", Badge, "expected Boss or None"),
    ("badges", lambda: None, "expected a list of Badge"),
    ("badges", lambda: "ab", "expected a list of Badge"),
    ("badges", lambda: (Badge(),), "expected a list of Badge"),
    ("badges", lambda: [Boss()], "expected a list of Badge"),
    ("badges", lambda: [1], "expected a list of Badge"),
    ("badges", lambda: [None], "expected a list of Badge"),
]


@pytest.mark.parametrize(("name", "make", "words"), REFERENCES, ids=range(len(REFERENCES)))
@pytest.mark.parametrize("is_stored", [False, True])
def test_a_reference_or_list_of_the_wrong_class_is_named_and_adds_nothing(
    open_db: Callable[..., Any],
    name: str,
    make: Callable[[], Any],
    words: str,
    is_stored: bool,
) -> None:
    db = open_db(Clerk)
    with db.session() as session:
        clerk = Clerk(name="c", boss=Boss(name="b"))
        if is_stored:
            session.add(clerk)
            session.commit()
        setattr(clerk, name, make())
        session.add(clerk)
        assert "Clerk(" in repr(clerk)
        with pytest.raises(DataError, match=words) as caught:
            session.commit()
        assert (caught.value.model, caught.value.key, caught.value.field) == (
            "Clerk",
            clerk.id,
            name,
        )
        assert count(db, Clerk) == count(db, Boss) == int(is_stored)
        assert count(db, Badge) == 0
        setattr(clerk, name, {"boss": Boss(), "deputy": None, "badges": []}[name])
        session.commit()
        assert count(db, Clerk) == 1
        assert count(db, Badge) == 0


@pytest.mark.parametrize("value", [None, "ab", [1], [Badge()], {"a": 1}], ids=range(5))
def test_an_owned_list_that_is_none_is_named(open_db: Callable[..., Any], value: Any) -> None:
    db = open_db(Boss)
    with db.session() as session:
        boss = Boss(name="b")
        boss.staff = value
        session.add(boss)
        with pytest.raises(DataError, match="expected a list of Clerk") as caught:
            session.commit()
        assert (caught.value.model, caught.value.field) == ("Boss", "staff")
        assert count(db, Boss) == 0
        boss.staff = [Clerk(name="c", boss=boss)]
    assert (count(db, Boss), count(db, Clerk)) == (1, 1)


class Quoted(Model, table='odd "table" name; drop'):
    id: int
    select: str = ""
    order: int = field(default=0, index=True)
    group: str = field(default="", unique=True)
    None_: str | None = None
    where: Quoted | None = None


def test_names_that_are_words_of_sql_or_have_quotes_work(open_db: Callable[..., Any]) -> None:
    db = open_db(Quoted)
    with db.session() as session:
        session.add(Quoted(id=1, select="*", group="a", where=Quoted(id=2, group="b")))
    with db.session() as session:
        found = session.query(Quoted).where(Quoted.select == "*", Quoted.where.group == "b").one()
        assert session.query(Quoted).order_by(Quoted.order, Quoted.id).all()[0] is found
        found.order = 5
        found.where = None
    with db.session() as session:
        found = session.get(Quoted, 1)
        assert (found.order, found.where) == (5, None)
        session.delete(found)
    with db.session() as session:
        assert session.query(Quoted).count() == 1


class Names(Model):
    """Fields called like what the generated functions call theirs."""

    id: int
    type: str
    o: int
    later: int
    version: int
    key: int
    isinstance: int
    self: int
    hooks: int
    check_o: int
    value: int
    unit: int
    row: int
    rows: int
    identity: int
    a_0: int
    a: Quoted | None = None
    table: str = ""
    c0: int = 0
    entries: list[int] = field(default_factory=list)
    refresh: bool = True


def test_fields_may_be_called_like_anything(open_db: Callable[..., Any]) -> None:
    plain = [name for name in Names.__annotations__ if name not in ("a", "table", "type")]
    numbers = {name: at for at, name in enumerate(plain) if name not in ("entries", "refresh")}
    db = open_db(Names)
    with db.session() as session:
        session.add(Names(**numbers, type="t", table="u", entries=[1], a=Quoted(id=1)))
    with db.session() as session:
        found = session.get(Names, numbers["id"])
        assert {name: getattr(found, name) for name in numbers} == numbers
        assert (found.type, found.table, found.entries) == ("t", "u", [1])
        for name in set(numbers) - {"id"}:
            setattr(found, name, getattr(found, name) + 1)
        found.type, found.refresh = "v", False
    with db.session() as session:
        found = session.query(Names).where(Names.type == "v", Names.version > 0).one()
        assert {name: getattr(found, name) - 1 for name in set(numbers) - {"id"}} == {
            name: value for name, value in numbers.items() if name != "id"
        }
