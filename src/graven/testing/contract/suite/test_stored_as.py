"""``field(stored_as=...)``: values kept as values of another type, where their own do not fit."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from graven import DataError, MappingError, Model, NaiveDatetime, QueryError, field, in_, key, like
from graven.testing.contract import rows

ZONE = timezone(timedelta(hours=5, minutes=30))
INSTANTS = [
    datetime(1, 1, 3, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 5, 1, 12, 0, tzinfo=ZONE),
    datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 30, 1, 2, 3, 456_789, tzinfo=UTC),
]
PAIRS: dict[tuple[Any, type], tuple[list[Any], Any]] = {
    (datetime, int): (INSTANTS, 1_714_545_000_000_000),
    (datetime, str): (INSTANTS, "2024-05-01T06:30:00.000000+00:00"),
    (NaiveDatetime, int): ([one.replace(tzinfo=None) for one in INSTANTS], 1_714_564_800_000_000),
    (NaiveDatetime, str): (
        [one.replace(tzinfo=None) for one in INSTANTS],
        "2024-05-01T12:00:00.000000",
    ),
    (date, int): ([date.min, date(1999, 1, 1), date(2024, 5, 1), date.max], 739_007),
    (date, str): ([date.min, date(1999, 1, 1), date(2024, 5, 1), date.max], "2024-05-01"),
    (time, int): ([time.min, time(0, 0, 0, 1), time(1, 2, 3), time.max], 3_723_000_000),
    (time, str): ([time.min, time(0, 0, 0, 1), time(1, 2, 3), time.max], "01:02:03.000000"),
    (timedelta, int): ([timedelta(-1), timedelta(0), timedelta(1, 2, 3)], 86_402_000_003),
    (Decimal, str): ([Decimal("-1E+900"), Decimal(0), Decimal("1." + "0" * 50)], "1." + "0" * 50),
    (float, str): ([float("-inf"), 1e-300, 0.1], "0.1"),
    (int, str): ([-(10**40), 7, 10**40], "1" + "0" * 40),
    (bool, int): ([False, True, True], 1),
    (UUID, str): (
        [UUID(int=0), UUID(int=9), UUID(int=2**127)],
        "80000000-0000-0000-0000-000000000000",
    ),
    (UUID, bytes): ([UUID(int=0), UUID(int=9), UUID(int=2**127)], b"\x80" + bytes(15)),
    (bytes, str): ([b"", b"\0", b"\0\xff"], "00ff"),
}
NAMES = {pair: f"{getattr(pair[0], '__name__', 'naive')}-{pair[1].__name__}" for pair in PAIRS}
UNORDERED = [(Decimal, str), (float, str), (int, str), (UUID, bytes)]
ORDERED = [pair for pair in PAIRS if pair not in UNORDERED]
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=NAMES.values())


def model_of(pair: tuple[Any, type]) -> Any:
    annotation, stored_as = pair

    class Kept(Model):
        id: int = key()
        value: annotation = field(stored_as=stored_as)
        maybe: annotation | None = field(default=None, stored_as=stored_as, unique=True)

    return Kept


@every_pair
def test_a_value_comes_back_and_is_stored_in_the_form_declared(
    open_db: Callable[..., Any], pair: Any
) -> None:
    model = model_of(pair)
    values, sample = PAIRS[pair]
    db = open_db(model)
    with db.session() as session:
        objects = [model(id=n, value=value) for n, value in enumerate(values)]
        objects[0].maybe = values[-1]
        session.add(*objects)
    with db.session() as session:
        found = session.query(model).all()

        assert [one.value for one in found] == values
        assert {type(one.value) for one in found} == {type(one) for one in values}
        assert (found[0].maybe, found[1].maybe) == (values[-1], None)
        assert session.explain() == "nothing to write"
        found[1].value = values[-1]
    assert sample in [value for (value,) in rows(db, model, "value")]
    with db.session() as session:
        assert session.get(model, 1).value == values[-1]


@every_pair
def test_many_values_are_written_as_few_are(open_db: Callable[..., Any], pair: Any) -> None:
    model = model_of(pair)
    values, _ = PAIRS[pair]
    db = open_db(model)
    with db.session() as session:
        session.add(*(model(id=n, value=values[n % len(values)]) for n in range(40)))
    with db.session() as session:
        found = session.query(model).all()
        assert [one.value for one in found] == [values[n % len(values)] for n in range(40)]
        for one in found:
            one.value = values[0]
    with db.session() as session:
        assert [one.value for one in session.query(model).all()] == [values[0]] * 40


@pytest.mark.parametrize("pair", ORDERED, ids=[NAMES[pair] for pair in ORDERED])
def test_order_and_comparison_are_those_of_the_values(
    open_db: Callable[..., Any], pair: Any
) -> None:
    model = model_of(pair)
    values, _ = PAIRS[pair]
    db = open_db(model)

    def numbers(session: Any, *conditions: Any) -> list[int]:
        found = session.query(model).where(*conditions).order_by(model.value).all()
        return [one.id for one in found]

    with db.session() as session:
        session.add(*(model(id=n, value=value) for n, value in enumerate(values)))
    with db.session() as session:
        for _ in range(2):  # the second time with a change that is pending
            count = len(values)
            assert numbers(session) == list(range(count))
            lower = [n for n in range(count) if values[n] < values[1]]
            assert numbers(session, model.value < values[1]) == lower
            equal = [n for n in range(count) if values[n] == values[1]]
            assert numbers(session, model.value == values[1]) == equal
            assert numbers(session, in_(model.value, values[:1]), model.maybe == None) == [0]  # noqa: E711
            held = session.get(model, 1)
            held.value, held.maybe = held.value, values[1]
        session.rollback()


def test_numbers_as_texts_are_found_and_not_ordered(open_db: Callable[..., Any]) -> None:
    model = model_of((int, str))
    db = open_db(model)
    with db.session() as session:
        session.add(model(id=1, value=10**30), model(id=2, value=9))
        for _ in range(2):
            assert session.query(model).where(model.value == 10**30).one().id == 1
            assert session.query(model).where(model.value != 9).one().id == 1
            session.commit()
        with pytest.raises(QueryError, match=r"order of Kept\.value.*stored_as=str"):
            session.query(model).where(model.value < 10)
        with pytest.raises(QueryError, match=r"order by Kept\.value"):
            session.query(model).order_by(model.value)
        with pytest.raises(QueryError, match="both must be text"):
            like(model.value, "1%")


@pytest.mark.parametrize("pair", [(Decimal, str), (float, str)], ids=["Decimal", "float"])
def test_what_may_have_several_texts_is_not_compared_in_the_store(
    open_db: Callable[..., Any], pair: Any
) -> None:
    model = model_of(pair)
    db = open_db(model)
    one = pair[0](1)
    with db.session() as session:
        session.add(model(id=1, value=one))
        with pytest.raises(QueryError, match=r"compare Kept\.value in the store"):
            session.query(model).where(model.value == one)
        with pytest.raises(QueryError, match=r"compare Kept\.value in the store"):
            session.query(model).where(in_(model.value, [one]))
        assert session.query(model).where(model.maybe == None).one().id == 1  # noqa: E711


def test_a_nan_is_kept_as_text(open_db: Callable[..., Any]) -> None:
    model = model_of((float, str))
    db = open_db(model)
    with db.session() as session:
        session.add(model(id=1, value=float("nan")), model(id=2, value=-0.0))
    with db.session() as session:
        values = [one.value for one in session.query(model).order_by(model.id).all()]
        assert values[0] != values[0]
        assert str(values[1]) == "-0.0"
        assert session.explain() == "nothing to write"


def test_fields_of_one_type_in_two_forms_are_not_compared(open_db: Callable[..., Any]) -> None:
    class Mixed(Model):
        id: int = key()
        plain: datetime | None = None
        number: datetime | None = field(default=None, stored_as=int)
        again: datetime | None = field(default=None, stored_as=int)
        count: int = 0

    db = open_db(Mixed)
    with db.session() as session:
        session.add(Mixed(id=1, number=INSTANTS[3], again=INSTANTS[3]), Mixed(id=2))
        query = session.query(Mixed)

        assert query.where(Mixed.number == Mixed.again, Mixed.number != None).one().id == 1  # noqa: E711
        for other in (Mixed.plain, Mixed.count):
            with pytest.raises(QueryError, match="a field of the same type"):
                query.where(Mixed.number == other)


class Thing(Model):
    id: UUID = key(stored_as=str)
    name: str = ""
    parent: Thing | None = None


class Slot(Model):
    day: date = key(stored_as=int)
    number: int = key(stored_as=str)
    thing: Thing | None = None


class Visit(Model):
    id: int = key()
    slot: Slot


def test_keys_and_references_are_stored_in_the_form_declared(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Thing, Slot, Visit)
    one = Thing(id=UUID(int=1), name="one")
    two = Thing(id=UUID(int=2), name="two", parent=one)
    with db.session() as session:
        session.add(Visit(id=1, slot=Slot(day=date(2024, 5, 1), number=10**30, thing=two)))
    assert rows(db, Thing, "id", "parent_id", order="id")[1] == (str(UUID(int=2)), str(one.id))
    assert rows(db, Visit, "slot_day", "slot_number") == [(739_007, "1" + "0" * 30)]
    with db.session() as session:
        query = session.query(Visit).include(Visit.slot.thing.parent)
        visit = query.where(Visit.slot.thing.parent == UUID(int=1)).one()
        assert visit.slot.thing.parent.name == "one"
        assert session.get(Slot, (date(2024, 5, 1), 10**30)) is visit.slot
        assert session.query(Visit).where(Visit.slot == (visit.slot.day, 10**30)).one() is visit
        assert session.query(Thing).get(UUID(int=2)) is visit.slot.thing
        visit.slot.thing.name = "changed"
        assert session.query(Visit).where(Visit.slot.thing.name == "changed").count() == 1
        assert session.query(Thing).order_by(Thing.id).limit(1).one().name == "one"
        assert session.query(Thing).where(Thing.name == "changed").count() == 1
        session.delete(visit)
    with db.session() as session:
        session.delete(session.get(Slot, (date(2024, 5, 1), 10**30)))
        session.delete(session.query(Thing).where(in_(Thing.id, [UUID(int=2)])).one())
    assert rows(db, Thing, "name") == [("one",)]


def test_a_container_can_be_kept_as_text(open_db: Callable[..., Any]) -> None:
    class Bag(Model):
        id: int = key()
        things: dict[str, list[int]] = field(default_factory=dict, stored_as=str)

    db = open_db(Bag)
    with db.session() as session:
        session.add(Bag(id=1, things={"$a.b": [1]}))
    assert rows(db, Bag, "things") == [('{"$a.b":[1]}',)]
    with db.session() as session:
        bag = session.get(Bag, 1)
        bag.things["$a.b"].append(2)
    with db.session() as session:
        assert session.get(Bag, 1).things == {"$a.b": [1, 2]}


def test_a_value_of_another_type_is_refused_before_the_write(open_db: Callable[..., Any]) -> None:
    model = model_of((datetime, int))
    db = open_db(model)
    with db.session() as session:
        one = model(id=1, value="yesterday")
        session.add(one)
        with pytest.raises(DataError, match=r"Kept\.value.*expected datetime"):
            session.commit()
        one.value = datetime(2024, 5, 1)
        with pytest.raises(DataError, match="no time zone"):
            session.commit()
        one.value = INSTANTS[2]
        with pytest.raises(QueryError, match="expected datetime"):
            session.query(model).where(model.value == 5)
    with db.session() as session:
        assert session.get(model, 1).value == INSTANTS[2]


def test_a_stored_value_that_cannot_be_read_is_named(open_db: Callable[..., Any]) -> None:
    class Written(Model, table="stored_as_text"):
        id: int = key()
        value: str = ""

    class Read(Model, table="stored_as_text"):
        id: int = key()
        value: int = field(stored_as=str)

    db = open_db(Written)
    with db.session() as session:
        session.add(Written(id=1, value="many"))
    words = "cannot read a row of table 'stored_as_text'"
    with db.session() as session, pytest.raises(DataError, match=words):
        session.get(Read, 1)


class Level(enum.Enum):
    LOW = 1


SENSELESS = [
    (datetime, float, "It can be stored as int or str"),
    (Decimal, int, "It can be stored as str"),
    (str, int, "Leave it out"),
    (int, int, "It can be stored as str"),
    (Level, str, "Leave it out"),
    (Thing, str, "say it of that key"),
    (UUID, "text", "It can be stored as str or bytes"),
]


@pytest.mark.parametrize(("annotation", "stored_as", "words"), SENSELESS)
def test_a_form_without_sense_is_refused_by_the_model(
    open_db: Callable[..., Any], annotation: Any, stored_as: Any, words: str
) -> None:
    class Odd(Model):
        value: annotation = field(stored_as=stored_as)

    db = open_db()
    with pytest.raises(MappingError, match=rf"cannot store Odd\.value as .*{words}"):
        db.create(Odd)


def test_a_key_that_would_not_be_found_by_its_text_is_refused(open_db: Callable[..., Any]) -> None:
    class Odd(Model):
        value: Decimal = key(stored_as=str)

    with pytest.raises(MappingError, match=r"Odd\.value as a key.*several texts"):
        open_db().create(Odd)
